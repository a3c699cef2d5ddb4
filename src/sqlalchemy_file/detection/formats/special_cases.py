"""Types that always begin with a signature, and types that are special cases of others."""

from __future__ import annotations

from sqlalchemy_file.detection.formats.signatures import KNOWN_TYPES

_OFFICE = "application/vnd.openxmlformats-officedocument."

ZIPPED = (
    "application/epub+zip",
    "application/java-archive",
    "application/oxps",
    "application/vnd.adobe.indesign-idml-package",
    "application/vnd.android.package-archive",
    "application/vnd.apple.keynote",
    "application/vnd.apple.numbers",
    "application/vnd.apple.pages",
    "application/vnd.google-earth.kmz",
    "application/vnd.ms-excel.",
    "application/vnd.ms-powerpoint.",
    "application/vnd.ms-visio.",
    "application/vnd.ms-word.",
    "application/vnd.ms-xpsdocument",
    "application/vnd.oasis.opendocument.",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.recordare.musicxml",
    "application/vnd.sun.xml.",
    "application/x-krita",
    "application/x-xpinstall",
    "image/openraster",
    "model/3mf",
    "model/vnd.usdz+zip",
)
"""What the names of types that are ZIP archives begin with."""

ACTIVE = frozenset({"application/xhtml+xml", "image/svg+xml", "text/html", "text/javascript"})
"""What browsers run, or show as a page: never believed on a claim against the bytes."""

_OLE = (
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-outlook",
    "application/vnd.ms-powerpoint",
    "application/vnd.ms-project",
    "application/vnd.ms-publisher",
    "application/vnd.visio",
    "application/x-msi",
    "image/vnd.fpx",
)
_RAW_TIFF = (
    "image/x-adobe-dng",
    "image/x-canon-cr2",
    "image/x-epson-erf",
    "image/x-hasselblad-3fr",
    "image/x-kodak-dcr",
    "image/x-nikon-nef",
    "image/x-nikon-nrw",
    "image/x-pentax-pef",
    "image/x-samsung-srw",
    "image/x-sony-arw",
    "image/x-sony-sr2",
)

# Office documents whose members tell the program, but not what of its is a template.
_OF_EXCEL = (
    "application/vnd.ms-excel.",
    f"{_OFFICE}spreadsheetml.template",
)
_OF_POWERPOINT = (
    "application/vnd.ms-powerpoint.",
    f"{_OFFICE}presentationml.slideshow",
    f"{_OFFICE}presentationml.template",
)
_OF_WORD = (
    "application/vnd.ms-word.",
    f"{_OFFICE}wordprocessingml.template",
)

SPECIAL_CASES: dict[str, tuple[str, ...]] = {
    "application/gzip": ("application/",),
    f"{_OFFICE}presentationml.presentation": _OF_POWERPOINT,
    f"{_OFFICE}spreadsheetml.sheet": _OF_EXCEL,
    f"{_OFFICE}wordprocessingml.document": _OF_WORD,
    "application/vnd.ms-visio.drawing": ("application/vnd.ms-visio.",),
    "application/vnd.ms-xpsdocument": ("application/oxps",),
    "application/vnd.rn-realmedia": ("audio/vnd.rn-realaudio",),
    "application/vnd.sqlite3": ("application/geopackage+sqlite3", "application/"),
    "application/vnd.las": ("application/vnd.laszip",),
    "application/x-mobipocket-ebook": ("application/vnd.amazon.ebook",),
    "application/x-bzip2": ("application/x-apple-diskimage",),
    "application/x-hdf": ("application/", "application/x-netcdf"),
    "application/x-ole-storage": (*_OLE, "application/"),
    "application/zip": ("image/openraster", "application/", "model/"),
    "application/java-archive": ("application/",),
    "audio/ogg": ("audio/opus", "audio/vorbis", "audio/speex", "application/ogg"),
    "image/heic-sequence": ("image/heif-sequence", "image/heic", "image/heif"),
    "image/j2c": ("image/jp2",),
    "image/jp2": ("image/jpx", "image/jpm"),
    "image/tiff": _RAW_TIFF,
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

# Files of these types may begin with something else, or do not say so before they are read on.
_ALSO_UNMARKED = frozenset(
    {
        "application/dicom",  # without a preamble
        "application/postscript",  # behind the commands of a printer's language
        "application/x-cpio",
        "application/x-lzh-compressed",
        "application/x-lzma",
        "application/x-matlab-data",  # of version 4
        "application/x-stata-dta",  # before version 117
        "application/x-tar",
        "audio/aac",  # cut out of a stream
        "audio/mpeg",
        "audio/x-mod",
        "image/svg+xml",
        "model/vnd.autodesk.fbx",  # as text
        "video/mp2t",
        "video/mpeg",
    }
)

_UNSIGNED_CASES = ("text/", "application/x-apple-diskimage")

SIGNED = KNOWN_TYPES.union(
    case
    for cases in SPECIAL_CASES.values()
    for case in cases
    if not case.endswith(("/", "-", ".")) and not case.startswith(_UNSIGNED_CASES)
).difference(_ALSO_UNMARKED)
"""Types whose files begin with a signature, every one, so that its absence refutes the claim."""
