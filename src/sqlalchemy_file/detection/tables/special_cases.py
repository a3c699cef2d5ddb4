"""Claims that are believed although the bytes show another type, or none."""

from __future__ import annotations


def _of(family: str, names: str) -> tuple[str, ...]:
    return tuple(f"{family}/{name}" for name in names.split())


_OFFICE = "vnd.openxmlformats-officedocument."

ZIPPED = (
    *_of("application", "epub+zip java-archive oxps vnd.adobe.indesign-idml-package"),
    *_of("application", "vnd.android.package-archive vnd.google-earth.kmz vnd.ms-xpsdocument"),
    *_of("application", "vnd.apple.keynote vnd.apple.numbers vnd.apple.pages x-krita x-xpinstall"),
    *_of("application", "vnd.ms-excel. vnd.ms-powerpoint. vnd.ms-visio. vnd.ms-word."),
    *_of("application", "vnd.oasis.opendocument. vnd.recordare.musicxml vnd.sun.xml."),
    f"application/{_OFFICE}",
    *("image/openraster", "model/3mf", "model/vnd.usdz+zip"),
)
"""The names of types that are ZIP archives, or what they begin with."""

ACTIVE = frozenset({"application/xhtml+xml", "image/svg+xml", "text/html", "text/javascript"})
"""What browsers run, or show as a page: never believed on a claim against the bytes."""

SPECIAL_CASES: dict[str, tuple[str, ...]] = {
    "application/gzip": ("application/",),
    # The members of an Office document tell its program, but not whether it is a template.
    f"application/{_OFFICE}presentationml.presentation": _of(
        "application",
        f"vnd.ms-powerpoint. {_OFFICE}presentationml.slideshow {_OFFICE}presentationml.template",
    ),
    f"application/{_OFFICE}spreadsheetml.sheet": _of(
        "application", f"vnd.ms-excel. {_OFFICE}spreadsheetml.template"
    ),
    f"application/{_OFFICE}wordprocessingml.document": _of(
        "application", f"vnd.ms-word. {_OFFICE}wordprocessingml.template"
    ),
    "application/vnd.ms-visio.drawing": ("application/vnd.ms-visio.",),
    "application/vnd.ms-xpsdocument": ("application/oxps",),
    "application/vnd.rn-realmedia": ("audio/vnd.rn-realaudio",),
    "application/vnd.sqlite3": ("application/geopackage+sqlite3", "application/"),
    "application/vnd.las": ("application/vnd.laszip",),
    "application/x-mobipocket-ebook": ("application/vnd.amazon.ebook",),
    "application/x-bzip2": ("application/x-apple-diskimage",),
    "application/x-hdf": ("application/", "application/x-netcdf"),
    "application/x-ole-storage": (
        *("application/", "image/vnd.fpx"),
        *_of("application", "msword vnd.ms-excel vnd.ms-outlook vnd.ms-powerpoint vnd.ms-project"),
        *_of("application", "vnd.ms-publisher vnd.visio x-msi"),
    ),
    "application/zip": ("image/openraster", "application/", "model/"),
    "application/java-archive": ("application/",),
    "audio/ogg": ("audio/opus", "audio/vorbis", "audio/speex", "application/ogg"),
    "image/heic-sequence": ("image/heif-sequence", "image/heic", "image/heif"),
    "image/j2c": ("image/jp2",),
    "image/jp2": ("image/jpx", "image/jpm"),
    "image/tiff": _of(
        "image",
        "x-adobe-dng x-canon-cr2 x-epson-erf x-hasselblad-3fr x-kodak-dcr x-nikon-nef x-nikon-nrw "
        "x-pentax-pef x-samsung-srw x-sony-arw x-sony-sr2",
    ),
    "text/html": ("text/markdown", "text/x-"),
    "video/3gpp": ("audio/3gpp", "video/3gpp2", "audio/3gpp2"),
    "video/3gpp2": ("audio/3gpp2",),
    "video/matroska": ("audio/matroska",),
    "video/mp4": ("audio/mp4", "video/x-m4v", "video/3gpp", "audio/3gpp"),
    "video/ogg": ("application/ogg", "audio/ogg"),
    "video/webm": ("audio/webm",),
    "video/x-ms-asf": ("audio/x-ms-wma", "video/x-ms-wmv"),
}
"""Detected types, and those that are special cases of them as far as the first bytes tell:
whole names, or what the names begin with."""

NARROWED = frozenset({"text/xml", *SPECIAL_CASES})

ALSO_UNMARKED = frozenset(
    {
        "application/dicom",  # without a preamble
        "application/postscript",  # behind the commands of a printer's language
        "application/x-matlab-data",  # of version 4
        "application/x-stata-dta",  # before version 117
        "audio/aac",  # cut out of a stream
        "model/vnd.autodesk.fbx",  # as text
        *_of("application", "x-apple-diskimage x-cpio x-lzh-compressed x-lzma x-tar"),
        *("audio/mpeg", "audio/x-mod", "image/svg+xml", "video/mp2t", "video/mpeg"),
    }
)
"""Types that have a signature, whose files may begin with something else."""

BINARY_FAMILIES = ("image/", "audio/", "video/", "font/")
"""What the names of binary types begin with, except for those in `TEXTUAL`."""

TEXTUAL = frozenset(
    {
        *_of("audio", "x-mpegurl x-scpls"),
        *_of("image", "cgm svg+xml vnd.dxf x-xbitmap x-xpixmap"),
        *_of("image", "x-portable-anymap x-portable-bitmap x-portable-graymap x-portable-pixmap"),
        "video/vnd.mpegurl",
    }
)

NEVER_TEXT = frozenset(
    _of(
        "application",
        "dicom vnd.ms-works x-apple-diskimage x-cpio x-dbf x-iso9660-image x-lzh-compressed x-lzma "
        "x-matlab-data x-python-code x-sas-data x-tar",
    )
)
"""Other types of binary files that have no signature, or none at their start."""
