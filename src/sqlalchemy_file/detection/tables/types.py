"""Content types by their current name: that of IANA, or of WHATWG if browsers use that."""

TYPES = """
application/atom+xml atom
application/dash+xml mpd
application/dicom dcm dicom application/x-dicom image/dicom
application/epub+zip epub application/epub application/x-epub+zip
application/geo+json geojson application/vnd.geo+json
application/geopackage+sqlite3 gpkg
application/gml+xml gml
application/gpx+xml gpx application/gpx application/x-gpx+xml
application/gzip gz tgz emz svgz application/gzip-compressed application/gzipped
application/gzip application/x-compressed-tar application/x-gunzip application/x-gzip
application/gzip application/x-gzip-compressed application/x-tgz
application/java-archive jar war ear application/x-jar application/x-java-archive
application/json json map ipynb har application/x-json text/json
application/ld+json jsonld
application/manifest+json webmanifest
application/mathml+xml mathml mml
application/mbox mbox
application/msword doc dot application/doc application/vnd.ms-word application/vnd.msword
application/msword application/winword application/word application/x-msword
application/mxf mxf
application/n-quads nq
application/n-triples nt
application/octet-stream bin
application/oxps oxps
application/pdf pdf application/acrobat application/x-pdf
application/pgp-encrypted pgp gpg
application/pgp-signature asc
application/pkcs10 csr p10
application/pkcs12 p12 pfx
application/pkcs7-mime p7m p7c
application/pkcs7-signature p7s
application/pkix-cert cer
application/pkix-crl crl
application/postscript ps eps ai
application/rdf+xml rdf
application/rss+xml rss application/x-rss+xml
application/rtf rtf application/x-rtf text/rtf
application/sql sql
application/toml toml text/toml text/x-toml
application/ttml+xml ttml dfxp
application/vnd.adobe.flash.movie swf application/futuresplash application/x-shockwave-flash
application/vnd.adobe.indesign-idml-package idml
application/vnd.adobe.xfdf xfdf
application/vnd.amazon.ebook azw
application/vnd.android.package-archive apk
application/vnd.apache.arrow.file arrow feather application/arrow
application/vnd.apache.parquet parquet application/parquet application/x-parquet
application/vnd.apple.installer+xml mpkg
application/vnd.apple.keynote key application/x-iwork-keynote-sffkey
application/vnd.apple.mpegurl m3u8
application/vnd.apple.numbers numbers application/x-iwork-numbers-sffnumbers
application/vnd.apple.pages pages application/x-iwork-pages-sffpages
application/vnd.debian.binary-package deb udeb application/x-deb application/x-debian-package
application/vnd.garmin.tcx+xml tcx
application/vnd.google-earth.kml+xml kml
application/vnd.google-earth.kmz kmz
application/vnd.iccprofile icc icm
application/vnd.las las
application/vnd.laszip laz
application/vnd.microsoft.portable-executable exe dll application/exe application/x-dosexec
application/vnd.microsoft.portable-executable application/x-exe application/x-ms-dos-executable
application/vnd.microsoft.portable-executable application/x-msdownload application/x-winexe
application/vnd.ms-cab-compressed cab application/cab application/x-cab
application/vnd.ms-excel xls xlt xla xlw application/excel application/msexcel application/x-excel
application/vnd.ms-excel application/x-msexcel application/xls
application/vnd.ms-excel.addin.macroenabled.12 xlam
application/vnd.ms-excel.sheet.binary.macroenabled.12 xlsb
application/vnd.ms-excel.sheet.macroenabled.12 xlsm
application/vnd.ms-excel.template.macroenabled.12 xltm
application/vnd.ms-fontobject eot font/eot
application/vnd.ms-htmlhelp chm application/x-chm
application/vnd.ms-outlook msg application/msoutlook application/x-outlook-msg
application/vnd.ms-outlook-pst pst
application/vnd.ms-powerpoint ppt pps pot ppa application/mspowerpoint application/powerpoint
application/vnd.ms-powerpoint application/x-mspowerpoint
application/vnd.ms-powerpoint.addin.macroenabled.12 ppam
application/vnd.ms-powerpoint.presentation.macroenabled.12 pptm
application/vnd.ms-powerpoint.slideshow.macroenabled.12 ppsm
application/vnd.ms-powerpoint.template.macroenabled.12 potm
application/vnd.ms-project mpp mpt
application/vnd.ms-publisher pub application/x-mspublisher
application/vnd.ms-visio.drawing vsdx application/vnd.ms-visio.drawing.main+xml
application/vnd.ms-visio.drawing.macroenabled.12 vsdm
application/vnd.ms-visio.stencil vssx application/vnd.ms-visio.stencil.main+xml
application/vnd.ms-visio.template vstx application/vnd.ms-visio.template.main+xml
application/vnd.ms-word.document.macroenabled.12 docm
application/vnd.ms-word.template.macroenabled.12 dotm
application/vnd.ms-works wps wks
application/vnd.ms-xpsdocument xps
application/vnd.oasis.opendocument.base odb
application/vnd.oasis.opendocument.chart odc
application/vnd.oasis.opendocument.formula odf
application/vnd.oasis.opendocument.graphics odg
application/vnd.oasis.opendocument.graphics-template otg
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.presentation-template otp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.spreadsheet-template ots
application/vnd.oasis.opendocument.text odt
application/vnd.oasis.opendocument.text-master odm
application/vnd.oasis.opendocument.text-template ott
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.presentationml.slideshow ppsx
application/vnd.openxmlformats-officedocument.presentationml.template potx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.spreadsheetml.template xltx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.openxmlformats-officedocument.wordprocessingml.template dotx
application/vnd.rar rar application/x-rar application/x-rar-compressed
application/vnd.recordare.musicxml mxl
application/vnd.recordare.musicxml+xml musicxml
application/vnd.rn-realmedia rm application/vnd.rn-realmedia-vbr audio/x-pn-realaudio
application/vnd.sqlite3 sqlite sqlite3 db db3 application/sqlite application/sqlite3
application/vnd.sqlite3 application/x-sqlite application/x-sqlite3
application/vnd.sun.xml.writer sxw
application/vnd.tcpdump.pcap pcap cap application/cap application/pcap application/x-pcap
application/vnd.visio vsd vst vss application/visio application/vnd.ms-visio application/x-visio
application/vnd.wordperfect wpd
application/wasm wasm
application/x-7z-compressed 7z application/x-7zip-compressed
application/x-ace-compressed application/x-ace
application/x-apple-diskimage dmg
application/x-arj arj application/x-arj-compressed
application/x-avro avro application/avro avro/binary
application/x-bittorrent torrent
application/x-blender blend
application/x-bplist application/x-apple-binary-plist
application/x-bzip2 bz2 tbz tbz2 application/bzip2 application/x-bz2 application/x-bzip
application/x-bzip2 application/x-bzip-compressed-tar
application/x-chrome-extension crx
application/x-compress z
application/x-cpio cpio
application/x-dbf dbf application/dbase application/dbf application/x-dbase
application/x-executable application/x-elf
application/x-fictionbook+xml fb2 application/x-fb2
application/x-hdf h5 hdf5 hdf he5 application/x-hdf5
application/x-indesign indd indt
application/x-iso9660-image iso application/iso-image application/x-cd-image application/x-iso-image
application/x-java-applet class application/java-vm application/x-java-class
application/x-krita kra
application/x-lz4 lz4
application/x-lzh-compressed lzh lha application/x-lha application/x-lzh
application/x-lzip lz
application/x-lzma lzma
application/x-mach-binary application/x-mach-o
application/x-matlab-data mat
application/x-mobipocket-ebook mobi prc application/x-mobi8-ebook
application/x-ms-shortcut lnk
application/x-msaccess mdb accdb application/mdb application/msaccess application/vnd.ms-access
application/x-msaccess application/vnd.msaccess
application/x-msi msi msp application/x-ms-installer
application/x-ndjson ndjson jsonl application/jsonl application/jsonlines application/x-jsonlines
application/x-netcdf nc cdf application/netcdf
application/x-numpy-data npy
application/x-ole-storage application/cdfv2 application/vnd.ms-office application/x-cfb
application/x-pcapng pcapng
application/x-pem-file pem
application/x-python-code pyc pyo
application/x-rpm rpm application/x-redhat-package-manager
application/x-sas-data sas7bdat
application/x-sh sh bash
application/x-spss-sav sav application/x-spss
application/x-stata-dta dta application/stata application/x-stata
application/x-subrip srt application/srt text/srt
application/x-tar tar application/tar application/x-gtar application/x-ustar
application/x-x509-ca-cert crt der
application/x-xpinstall xpi
application/x-xz xz txz application/x-xz-compressed-tar
application/xhtml+xml xhtml xht
application/xliff+xml xlf xliff
application/xml-dtd dtd
application/xslt+xml xslt
application/yaml yaml yml application/x-yaml application/yml text/x-yaml text/yaml text/yml
application/zip zip cbz application/x-zip application/x-zip-compressed
application/zstd zst tzst application/x-zstandard application/x-zstd
audio/3gpp 3ga audio/3gp audio/x-3gpp
audio/aac aac adts audio/aacp audio/x-aac audio/x-aacp audio/x-hx-aac-adts
audio/ac3 ac3
audio/aiff aif aiff aifc audio/x-aiff
audio/amr amr audio/x-amr
audio/basic au snd audio/x-au audio/x-basic
audio/eac3 eac3 ec3
audio/flac flac audio/x-flac
audio/matroska mka audio/x-matroska
audio/midi mid midi kar rmi application/x-midi audio/mid audio/x-mid audio/x-midi
audio/mp4 m4a m4b m4p m4r f4a f4b audio/m4a audio/m4b audio/mp4a-latm audio/x-m4a audio/x-m4b
audio/mp4 audio/x-m4p audio/x-mp4
audio/mpeg mp3 mp2 mpga mp1 audio/mp3 audio/mpa audio/mpeg3 audio/mpg audio/x-mp3 audio/x-mpeg
audio/mpeg audio/x-mpeg-3 audio/x-mpegaudio audio/x-mpg
audio/ogg ogg oga opus spx audio/x-ogg audio/x-opus+ogg audio/x-speex+ogg audio/x-vorbis+ogg
audio/vnd.dts dts
audio/vnd.rn-realaudio ra
audio/vorbis audio/x-vorbis
audio/wav wav wave application/x-wav audio/vnd.wave audio/wave audio/x-pn-wav audio/x-wav
audio/webm weba
audio/x-ape ape audio/ape audio/x-monkeys-audio
audio/x-caf caf audio/x-caff
audio/x-dsf dsf
audio/x-mod mod xm it s3m
audio/x-mpegurl m3u
audio/x-ms-wma wma audio/wma
audio/x-musepack mpc
audio/x-scpls pls
audio/x-tta tta
audio/x-voc voc
audio/x-wavpack wv audio/wavpack
font/collection ttc application/x-font-ttc
font/otf otf application/font-otf application/vnd.ms-opentype application/x-font-opentype
font/otf application/x-font-otf font/opentype
font/ttf ttf application/font-sfnt application/font-ttf application/x-font-truetype
font/ttf application/x-font-ttf font/sfnt font/truetype
font/woff woff application/font-woff application/x-font-woff font/x-woff
font/woff2 woff2 application/font-woff2 application/x-font-woff2 font/x-woff2
image/apng apng
image/avci avci
image/avif avif avifs image/x-avif
image/bmp bmp dib application/bmp application/x-bmp image/x-bmp image/x-ms-bmp image/x-win-bitmap
image/bmp image/x-windows-bmp
image/bpg bpg
image/cgm cgm
image/emf emf image/x-emf
image/fits fits fit fts application/fits image/x-fits
image/gif gif image/x-gif
image/heic heic hif image/x-heic
image/heic-sequence heics
image/heif heif
image/icns icns image/x-icns
image/j2c j2c j2k jpc
image/jls jls
image/jp2 jp2 jpg2 image/jpeg2000 image/jpeg2000-image image/x-jp2 image/x-jpeg2000-image
image/jpeg jpg jpeg jpe jfif pjpeg pjp mpo image/jpg image/pjp image/pjpeg image/x-citrix-jpeg
image/jpeg image/x-jpeg image/x-jpg
image/jpm jpm
image/jpx jpx jpf
image/jxl jxl image/x-jxl
image/jxr jxr hdp wdp
image/ktx ktx
image/ktx2 ktx2
image/openraster ora
image/png png image/x-citrix-png image/x-png
image/qoi qoi image/x-qoi
image/svg+xml svg application/svg+xml image/svg image/svg-xml text/xml-svg
image/tiff tif tiff image/tif image/x-tif image/x-tiff
image/vnd.adobe.photoshop psd psb application/photoshop application/psd application/x-photoshop
image/vnd.adobe.photoshop image/psd image/x-photoshop image/x-psd
image/vnd.djvu djvu djv image/vnd.djvu+multipage image/x-djvu image/x.djvu
image/vnd.dwg dwg application/acad application/x-dwg image/x-dwg
image/vnd.dxf dxf application/dxf image/x-dxf
image/vnd.fpx fpx
image/vnd.ms-dds dds image/dds image/vnd-ms.dds image/x-dds
image/vnd.radiance hdr image/x-hdr
image/vnd.wap.wbmp wbmp
image/vnd.zbrush.pcx pcx image/pcx image/x-pcx
image/webp webp image/x-webp
image/wmf wmf image/x-wmf
image/x-adobe-dng dng image/dng image/x-dng
image/x-canon-cr2 cr2
image/x-canon-cr3 cr3
image/x-exr exr image/aces image/exr
image/x-fuji-raf raf
image/x-icon ico cur application/ico image/ico image/vnd.microsoft.cursor image/vnd.microsoft.icon
image/x-nikon-nef nef nrw
image/x-olympus-orf orf
image/x-panasonic-rw2 rw2 image/x-panasonic-rw
image/x-pentax-pef pef
image/x-portable-anymap pnm
image/x-portable-arbitrarymap pam
image/x-portable-bitmap pbm
image/x-portable-floatmap pfm
image/x-portable-graymap pgm
image/x-portable-pixmap ppm
image/x-sgi sgi rgb rgba bw image/sgi image/x-rgb image/x-sgi-rgba
image/x-sony-arw arw
image/x-sun-raster ras sun image/x-cmu-raster
image/x-tga tga icb vda application/tga application/x-targa application/x-tga image/targa image/tga
image/x-tga image/x-targa
image/x-xbitmap xbm
image/x-xcf xcf
image/x-xpixmap xpm
image/x-xwindowdump xwd
message/rfc822 eml
model/3mf 3mf application/vnd.ms-3mfdocument application/vnd.ms-package.3dmanufacturing-3dmodel+xml
model/gltf+json gltf
model/gltf-binary glb
model/iges igs iges
model/obj obj
model/step step stp
model/stl stl application/sla application/vnd.ms-pki.stl model/x.stl-ascii model/x.stl-binary
model/vnd.collada+xml dae
model/vnd.usdz+zip usdz
model/vrml wrl vrml
model/x3d+xml x3d
multipart/related mht mhtml
text/cache-manifest appcache
text/calendar ics ifb application/ics text/x-vcalendar
text/css css
text/csv csv application/csv application/x-csv text/comma-separated-values
text/csv text/x-comma-separated-values text/x-csv
text/html html htm shtml application/html
text/javascript js mjs cjs application/ecmascript application/javascript application/x-ecmascript
text/javascript application/x-javascript text/ecmascript text/javascript1.5 text/jscript
text/javascript text/x-ecmascript text/x-javascript
text/markdown md markdown mkd text/x-markdown text/x-web-markdown
text/n3 n3
text/plain txt text log conf cfg ini env list
text/tab-separated-values tsv tab text/tsv text/x-tab-separated-values
text/troff roff man
text/turtle ttl
text/vcard vcf vcard text/directory text/x-vcard
text/vtt vtt
text/x-asm s asm
text/x-bibtex bib
text/x-c c h
text/x-c++ cpp cc cxx hpp hh hxx
text/x-csharp cs
text/x-dart dart
text/x-diff diff patch
text/x-go go
text/x-haskell hs
text/x-java java
text/x-jsx jsx
text/x-kotlin kt kts
text/x-lua lua
text/x-org org
text/x-perl pl pm
text/x-php php phtml php3 php4 php5 phar
text/x-python py pyi pyw
text/x-r r
text/x-rst rst
text/x-ruby rb
text/x-rust rs
text/x-scala scala
text/x-scss scss
text/x-ssa ssa ass
text/x-swift swift
text/x-tex tex latex sty
text/x-tsx tsx
text/x-typescript ts cts
text/x-vue vue
text/xml xml xsd xsl wsdl application/xml
video/3gpp 3gp 3gpp video/3gp video/x-3gp
video/3gpp2 3g2 3gpp2 video/3g2
video/matroska mkv mk3d video/mkv video/x-matroska video/x-mkv
video/mj2 mj2 mjp2
video/mp2t m2ts mts m2t video/mpegts video/vnd.dlna.mpeg-tts
video/mp4 mp4 mp4v f4v f4p video/x-mp4
video/mpeg mpg mpeg mpe m1v m2v vob mpv video/mp2p video/mpg video/x-mpeg video/x-mpeg2 video/x-mpg
video/ogg ogv ogm video/x-ogg
video/quicktime mov qt video/mov video/x-mov video/x-quicktime
video/webm webm
video/x-flv flv video/flv
video/x-m4v m4v video/m4v
video/x-ms-asf asf application/vnd.ms-asf video/asf
video/x-ms-wmv wmv video/wmv
video/x-msvideo avi divx application/x-troff-msvideo video/avi video/divx video/msvideo
video/x-msvideo video/vnd.avi
"""
"""A content type, its suffixes, and other names of it, which contain a slash.

Of several meanings of a suffix, the one that is uploaded most is here; bytes that are something
else have the last word anyway.
"""
