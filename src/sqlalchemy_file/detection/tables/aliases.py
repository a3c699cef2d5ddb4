"""Content types by their one current name: IANA's, or WHATWG's where browsers go by that."""

# A name, and others that mean the same.
ALIASES = """
application/dicom application/x-dicom image/dicom
application/epub+zip application/epub application/x-epub+zip
application/geo+json application/vnd.geo+json
application/gpx+xml application/gpx application/x-gpx+xml
application/gzip application/gzip-compressed application/gzipped application/x-compressed-tar
application/gzip application/x-gunzip application/x-gzip application/x-gzip-compressed
application/gzip application/x-tgz
application/java-archive application/x-jar application/x-java-archive
application/json application/x-json text/json
application/msword application/doc application/vnd.ms-word application/vnd.msword
application/msword application/winword application/word application/x-msword
application/pdf application/acrobat application/x-pdf
application/rss+xml application/x-rss+xml
application/rtf application/x-rtf text/rtf
application/toml text/toml text/x-toml
application/vnd.adobe.flash.movie application/futuresplash application/x-shockwave-flash
application/vnd.apache.arrow.file application/arrow
application/vnd.apache.parquet application/parquet application/x-parquet
application/vnd.apple.keynote application/x-iwork-keynote-sffkey
application/vnd.apple.numbers application/x-iwork-numbers-sffnumbers
application/vnd.apple.pages application/x-iwork-pages-sffpages
application/vnd.debian.binary-package application/x-deb application/x-debian-package
application/vnd.microsoft.portable-executable application/exe application/x-dosexec
application/vnd.microsoft.portable-executable application/x-exe application/x-ms-dos-executable
application/vnd.microsoft.portable-executable application/x-msdownload application/x-winexe
application/vnd.ms-cab-compressed application/cab application/x-cab
application/vnd.ms-excel application/excel application/msexcel application/x-excel
application/vnd.ms-excel application/x-msexcel application/xls
application/vnd.ms-fontobject font/eot
application/vnd.ms-htmlhelp application/x-chm
application/vnd.ms-outlook application/msoutlook application/x-outlook-msg
application/vnd.ms-powerpoint application/mspowerpoint application/powerpoint
application/vnd.ms-powerpoint application/x-mspowerpoint
application/vnd.ms-publisher application/x-mspublisher
application/vnd.ms-visio.drawing application/vnd.ms-visio.drawing.main+xml
application/vnd.ms-visio.stencil application/vnd.ms-visio.stencil.main+xml
application/vnd.ms-visio.template application/vnd.ms-visio.template.main+xml
application/vnd.rar application/x-rar application/x-rar-compressed
application/vnd.rn-realmedia application/vnd.rn-realmedia-vbr audio/x-pn-realaudio
application/vnd.sqlite3 application/sqlite application/sqlite3 application/x-sqlite
application/vnd.sqlite3 application/x-sqlite3
application/vnd.tcpdump.pcap application/cap application/pcap application/x-pcap
application/vnd.visio application/visio application/vnd.ms-visio application/x-visio
application/x-7z-compressed application/x-7zip-compressed
application/x-ace-compressed application/x-ace
application/x-arj application/x-arj-compressed
application/x-avro application/avro avro/binary
application/x-bplist application/x-apple-binary-plist
application/x-bzip2 application/bzip2 application/x-bz2 application/x-bzip
application/x-bzip2 application/x-bzip-compressed-tar
application/x-dbf application/dbase application/dbf application/x-dbase
application/x-executable application/x-elf
application/x-fictionbook+xml application/x-fb2
application/x-hdf application/x-hdf5
application/x-iso9660-image application/iso-image application/x-cd-image application/x-iso-image
application/x-java-applet application/java-vm application/x-java-class
application/x-lzh-compressed application/x-lha application/x-lzh
application/x-mach-binary application/x-mach-o
application/x-mobipocket-ebook application/x-mobi8-ebook
application/x-msaccess application/mdb application/msaccess application/vnd.ms-access
application/x-msaccess application/vnd.msaccess
application/x-msi application/x-ms-installer
application/x-ndjson application/jsonl application/jsonlines application/x-jsonlines
application/x-netcdf application/netcdf
application/x-ole-storage application/cdfv2 application/vnd.ms-office application/x-cfb
application/x-rpm application/x-redhat-package-manager
application/x-spss-sav application/x-spss
application/x-stata-dta application/stata application/x-stata
application/x-subrip application/srt text/srt
application/x-tar application/tar application/x-gtar application/x-ustar
application/x-xz application/x-xz-compressed-tar
application/yaml application/x-yaml application/yml text/x-yaml text/yaml text/yml
application/zip application/x-zip application/x-zip-compressed
application/zstd application/x-zstandard application/x-zstd
audio/3gpp audio/3gp audio/x-3gpp
audio/aac audio/aacp audio/x-aac audio/x-aacp audio/x-hx-aac-adts
audio/aiff audio/x-aiff
audio/amr audio/x-amr
audio/basic audio/x-au audio/x-basic
audio/flac audio/x-flac
audio/matroska audio/x-matroska
audio/midi application/x-midi audio/mid audio/x-mid audio/x-midi
audio/mp4 audio/m4a audio/m4b audio/mp4a-latm audio/x-m4a audio/x-m4b audio/x-m4p audio/x-mp4
audio/mpeg audio/mp3 audio/mpa audio/mpeg3 audio/mpg audio/x-mp3 audio/x-mpeg audio/x-mpeg-3
audio/mpeg audio/x-mpegaudio audio/x-mpg
audio/ogg audio/x-ogg audio/x-opus+ogg audio/x-speex+ogg audio/x-vorbis+ogg
audio/vorbis audio/x-vorbis
audio/wav application/x-wav audio/vnd.wave audio/wave audio/x-pn-wav audio/x-wav
audio/x-ape audio/ape audio/x-monkeys-audio
audio/x-caf audio/x-caff
audio/x-ms-wma audio/wma
audio/x-wavpack audio/wavpack
font/collection application/x-font-ttc
font/otf application/font-otf application/vnd.ms-opentype application/x-font-opentype
font/otf application/x-font-otf font/opentype
font/ttf application/font-sfnt application/font-ttf application/x-font-truetype
font/ttf application/x-font-ttf font/sfnt font/truetype
font/woff application/font-woff application/x-font-woff font/x-woff
font/woff2 application/font-woff2 application/x-font-woff2 font/x-woff2
image/avif image/x-avif
image/bmp application/bmp application/x-bmp image/x-bmp image/x-ms-bmp image/x-win-bitmap
image/bmp image/x-windows-bmp
image/emf image/x-emf
image/fits application/fits image/x-fits
image/gif image/x-gif
image/heic image/x-heic
image/icns image/x-icns
image/jp2 image/jpeg2000 image/jpeg2000-image image/x-jp2 image/x-jpeg2000-image
image/jpeg image/jpg image/pjp image/pjpeg image/x-citrix-jpeg image/x-jpeg image/x-jpg
image/jxl image/x-jxl
image/png image/x-citrix-png image/x-png
image/qoi image/x-qoi
image/svg+xml application/svg+xml image/svg image/svg-xml text/xml-svg
image/tiff image/tif image/x-tif image/x-tiff
image/vnd.adobe.photoshop application/photoshop application/psd application/x-photoshop image/psd
image/vnd.adobe.photoshop image/x-photoshop image/x-psd
image/vnd.djvu image/vnd.djvu+multipage image/x-djvu image/x.djvu
image/vnd.dwg application/acad application/x-dwg image/x-dwg
image/vnd.dxf application/dxf image/x-dxf
image/vnd.ms-dds image/dds image/vnd-ms.dds image/x-dds
image/vnd.radiance image/x-hdr
image/vnd.zbrush.pcx image/pcx image/x-pcx
image/webp image/x-webp
image/wmf image/x-wmf
image/x-adobe-dng image/dng image/x-dng
image/x-exr image/aces image/exr
image/x-icon application/ico image/ico image/vnd.microsoft.cursor image/vnd.microsoft.icon
image/x-panasonic-rw2 image/x-panasonic-rw
image/x-sgi image/sgi image/x-rgb image/x-sgi-rgba
image/x-sun-raster image/x-cmu-raster
image/x-tga application/tga application/x-targa application/x-tga image/targa image/tga
image/x-tga image/x-targa
model/3mf application/vnd.ms-3mfdocument application/vnd.ms-package.3dmanufacturing-3dmodel+xml
model/stl application/sla application/vnd.ms-pki.stl model/x.stl-ascii model/x.stl-binary
text/calendar application/ics text/x-vcalendar
text/csv application/csv application/x-csv text/comma-separated-values text/x-comma-separated-values
text/csv text/x-csv
text/html application/html
text/javascript application/ecmascript application/javascript application/x-ecmascript
text/javascript application/x-javascript text/ecmascript text/javascript1.5 text/jscript
text/javascript text/x-ecmascript text/x-javascript
text/markdown text/x-markdown text/x-web-markdown
text/tab-separated-values text/tsv text/x-tab-separated-values
text/vcard text/directory text/x-vcard
text/xml application/xml
video/3gpp video/3gp video/x-3gp
video/3gpp2 video/3g2
video/matroska video/mkv video/x-matroska video/x-mkv
video/mp2t video/mpegts video/vnd.dlna.mpeg-tts
video/mp4 video/x-mp4
video/mpeg video/mp2p video/mpg video/x-mpeg video/x-mpeg2 video/x-mpg
video/ogg video/x-ogg
video/quicktime video/mov video/x-mov video/x-quicktime
video/x-flv video/flv
video/x-m4v video/m4v
video/x-ms-asf application/vnd.ms-asf video/asf
video/x-ms-wmv video/wmv
video/x-msvideo application/x-troff-msvideo video/avi video/divx video/msvideo video/vnd.avi
"""
