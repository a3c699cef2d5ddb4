"""Content types, and the suffixes that stand for them."""

# A content type, and the suffixes that stand for it. Where a suffix has several meanings, the one
# that people upload most is here; bytes that are something else have the last word anyway.
SUFFIXES = """
application/atom+xml atom
application/dash+xml mpd
application/dicom dcm dicom
application/epub+zip epub
application/geo+json geojson
application/geopackage+sqlite3 gpkg
application/gml+xml gml
application/gpx+xml gpx
application/gzip gz tgz emz svgz
application/java-archive jar war ear
application/json json map ipynb har
application/ld+json jsonld
application/manifest+json webmanifest
application/mathml+xml mathml mml
application/mbox mbox
application/msword doc dot
application/mxf mxf
application/n-quads nq
application/n-triples nt
application/octet-stream bin
application/oxps oxps
application/pdf pdf
application/pgp-encrypted pgp gpg
application/pgp-signature asc
application/pkcs10 csr p10
application/pkcs7-mime p7m p7c
application/pkcs7-signature p7s
application/pkix-cert cer
application/pkix-crl crl
application/pkcs12 p12 pfx
application/postscript ps eps ai
application/rdf+xml rdf
application/rss+xml rss
application/rtf rtf
application/sql sql
application/toml toml
application/ttml+xml ttml dfxp
application/vnd.adobe.flash.movie swf
application/vnd.adobe.indesign-idml-package idml
application/vnd.adobe.xfdf xfdf
application/vnd.amazon.ebook azw
application/vnd.android.package-archive apk
application/vnd.apache.arrow.file arrow feather
application/vnd.apache.parquet parquet
application/vnd.apple.installer+xml mpkg
application/vnd.apple.keynote key
application/vnd.apple.mpegurl m3u8
application/vnd.apple.numbers numbers
application/vnd.apple.pages pages
application/vnd.debian.binary-package deb udeb
application/vnd.garmin.tcx+xml tcx
application/vnd.google-earth.kml+xml kml
application/vnd.google-earth.kmz kmz
application/vnd.iccprofile icc icm
application/vnd.las las
application/vnd.laszip laz
application/vnd.microsoft.portable-executable exe dll
application/vnd.ms-cab-compressed cab
application/vnd.ms-excel xls xlt xla xlw
application/vnd.ms-excel.addin.macroenabled.12 xlam
application/vnd.ms-excel.sheet.binary.macroenabled.12 xlsb
application/vnd.ms-excel.sheet.macroenabled.12 xlsm
application/vnd.ms-excel.template.macroenabled.12 xltm
application/vnd.ms-fontobject eot
application/vnd.ms-htmlhelp chm
application/vnd.ms-outlook msg
application/vnd.ms-outlook-pst pst
application/vnd.ms-powerpoint ppt pps pot ppa
application/vnd.ms-powerpoint.addin.macroenabled.12 ppam
application/vnd.ms-powerpoint.presentation.macroenabled.12 pptm
application/vnd.ms-powerpoint.slideshow.macroenabled.12 ppsm
application/vnd.ms-powerpoint.template.macroenabled.12 potm
application/vnd.ms-project mpp mpt
application/vnd.ms-publisher pub
application/vnd.ms-visio.drawing vsdx
application/vnd.ms-visio.drawing.macroenabled.12 vsdm
application/vnd.ms-visio.stencil vssx
application/vnd.ms-visio.template vstx
application/vnd.ms-word.document.macroenabled.12 docm
application/vnd.ms-word.template.macroenabled.12 dotm
application/vnd.ms-works wps wks
application/vnd.ms-xpsdocument xps
OPEN_DOCUMENTbase odb
OPEN_DOCUMENTchart odc
OPEN_DOCUMENTformula odf
OPEN_DOCUMENTgraphics odg
OPEN_DOCUMENTgraphics-template otg
OPEN_DOCUMENTpresentation odp
OPEN_DOCUMENTpresentation-template otp
OPEN_DOCUMENTspreadsheet ods
OPEN_DOCUMENTspreadsheet-template ots
OPEN_DOCUMENTtext odt
OPEN_DOCUMENTtext-master odm
OPEN_DOCUMENTtext-template ott
OFFICEpresentationml.presentation pptx
OFFICEpresentationml.slideshow ppsx
OFFICEpresentationml.template potx
OFFICEspreadsheetml.sheet xlsx
OFFICEspreadsheetml.template xltx
OFFICEwordprocessingml.document docx
OFFICEwordprocessingml.template dotx
application/vnd.rar rar
application/vnd.recordare.musicxml mxl
application/vnd.recordare.musicxml+xml musicxml
application/vnd.rn-realmedia rm
application/vnd.sqlite3 sqlite sqlite3 db db3
application/vnd.sun.xml.writer sxw
application/vnd.tcpdump.pcap pcap cap
application/vnd.visio vsd vst vss
application/vnd.wordperfect wpd
application/wasm wasm
application/x-7z-compressed 7z
application/x-apple-diskimage dmg
application/x-arj arj
application/x-avro avro
application/x-bittorrent torrent
application/x-blender blend
application/x-bzip2 bz2 tbz tbz2
application/x-chrome-extension crx
application/x-compress z
application/x-cpio cpio
application/x-dbf dbf
application/x-fictionbook+xml fb2
application/x-hdf h5 hdf5 hdf he5
application/x-indesign indd indt
application/x-iso9660-image iso
application/x-java-applet class
application/x-krita kra
application/x-lz4 lz4
application/x-lzip lz
application/x-lzma lzma
application/x-lzh-compressed lzh lha
application/x-matlab-data mat
application/x-mobipocket-ebook mobi prc
application/x-ms-shortcut lnk
application/x-msaccess mdb accdb
application/x-msi msi msp
application/x-netcdf nc cdf
application/x-ndjson ndjson jsonl
application/x-numpy-data npy
application/x-pcapng pcapng
application/x-pem-file pem
application/x-python-code pyc pyo
application/x-rpm rpm
application/x-sas-data sas7bdat
application/x-sh sh bash
application/x-spss-sav sav
application/x-stata-dta dta
application/x-subrip srt
application/x-tar tar
application/x-x509-ca-cert crt der
application/x-xpinstall xpi
application/x-xz xz txz
application/xhtml+xml xhtml xht
application/xliff+xml xlf xliff
application/xml-dtd dtd
application/xslt+xml xslt
application/yaml yaml yml
application/zip zip cbz
application/zstd zst tzst
audio/3gpp 3ga
audio/aac aac adts
audio/ac3 ac3
audio/aiff aif aiff aifc
audio/amr amr
audio/basic au snd
audio/eac3 eac3 ec3
audio/flac flac
audio/matroska mka
audio/midi mid midi kar rmi
audio/mp4 m4a m4b m4p m4r f4a f4b
audio/mpeg mp3 mp2 mpga mp1
audio/ogg ogg oga opus spx
audio/vnd.dts dts
audio/vnd.rn-realaudio ra
audio/wav wav wave
audio/webm weba
audio/x-ape ape
audio/x-caf caf
audio/x-dsf dsf
audio/x-mod mod xm it s3m
audio/x-mpegurl m3u
audio/x-ms-wma wma
audio/x-musepack mpc
audio/x-scpls pls
audio/x-tta tta
audio/x-voc voc
audio/x-wavpack wv
font/collection ttc
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif avifs
image/avci avci
image/bmp bmp dib
image/bpg bpg
image/cgm cgm
image/emf emf
image/fits fits fit fts
image/gif gif
image/heic heic hif
image/heic-sequence heics
image/heif heif
image/icns icns
image/j2c j2c j2k jpc
image/jp2 jp2 jpg2
image/jpeg jpg jpeg jpe jfif pjpeg pjp mpo
image/jpm jpm
image/jpx jpx jpf
image/jxl jxl
image/jxr jxr hdp wdp
image/jls jls
image/ktx ktx
image/ktx2 ktx2
image/openraster ora
image/png png
image/qoi qoi
image/svg+xml svg
image/tiff tif tiff
image/vnd.adobe.photoshop psd psb
image/vnd.djvu djvu djv
image/vnd.dwg dwg
image/vnd.dxf dxf
image/vnd.fpx fpx
image/vnd.ms-dds dds
image/vnd.radiance hdr
image/vnd.wap.wbmp wbmp
image/vnd.zbrush.pcx pcx
image/webp webp
image/wmf wmf
image/x-adobe-dng dng
image/x-canon-cr2 cr2
image/x-canon-cr3 cr3
image/x-exr exr
image/x-fuji-raf raf
image/x-icon ico cur
image/x-nikon-nef nef nrw
image/x-olympus-orf orf
image/x-panasonic-rw2 rw2
image/x-pentax-pef pef
image/x-portable-anymap pnm
image/x-portable-arbitrarymap pam
image/x-portable-bitmap pbm
image/x-portable-floatmap pfm
image/x-portable-graymap pgm
image/x-portable-pixmap ppm
image/x-sgi sgi rgb rgba bw
image/x-sony-arw arw
image/x-sun-raster ras sun
image/x-tga tga icb vda
image/x-xbitmap xbm
image/x-xcf xcf
image/x-xpixmap xpm
image/x-xwindowdump xwd
message/rfc822 eml
model/3mf 3mf
model/gltf+json gltf
model/gltf-binary glb
model/iges igs iges
model/obj obj
model/step step stp
model/stl stl
model/vnd.collada+xml dae
model/vnd.usdz+zip usdz
model/vrml wrl vrml
model/x3d+xml x3d
multipart/related mht mhtml
text/cache-manifest appcache
text/calendar ics ifb
text/css css
text/csv csv
text/html html htm shtml
text/javascript js mjs cjs
text/markdown md markdown mkd
text/n3 n3
text/x-org org
text/plain txt text log conf cfg ini env list
text/tab-separated-values tsv tab
text/troff roff man
text/turtle ttl
text/vcard vcf vcard
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
text/xml xml xsd xsl wsdl
video/3gpp 3gp 3gpp
video/3gpp2 3g2 3gpp2
video/matroska mkv mk3d
video/mj2 mj2 mjp2
video/mp2t m2ts mts m2t
video/mp4 mp4 mp4v f4v f4p
video/mpeg mpg mpeg mpe m1v m2v vob mpv
video/ogg ogv ogm
video/quicktime mov qt
video/webm webm
video/x-flv flv
video/x-m4v m4v
video/x-ms-asf asf
video/x-ms-wmv wmv
video/x-msvideo avi divx
"""
