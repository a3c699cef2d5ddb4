"""Uploads that would run a script, if a browser were let: each reports its name to the site."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image, PngImagePlugin


class Hostile(NamedTuple):
    """A file, and the content type with which a careless server would let it run."""

    name: str
    content: bytes
    careless_type: str


def script(name: str) -> bytes:
    """Return a script that reports by a request, or else by leaving the page."""
    url = f"/report/{name}"
    leave = f"()=>{{location='{url}'}}"
    return f"try{{fetch('{url}').catch({leave})}}catch(e){{({leave})()}};".encode()


def _page(name: str, before: bytes = b"", after: bytes = b"") -> Hostile:
    content = before + b"<script>" + script(name) + b"</script>" + after
    return Hostile(name, content, "text/html")


def _script(name: str, before: bytes, after: bytes = b"//") -> Hostile:
    return Hostile(name, before + script(name) + after, "text/javascript; charset=iso-8859-1")


def _png(name: str) -> Hostile:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", f"<script>{script(name).decode()}</script>")
    output = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(output, "PNG", pnginfo=notes)
    return Hostile(name, output.getvalue(), "text/html")


def _jpeg(name: str) -> Hostile:
    # The length of the first segment is "/*", so that what follows is a comment.
    comment = b"/*JFIF\0\1\1\0\0\1\0\1\0\0" + b"\0" * (0x2F2A - 16)
    output = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(output, "JPEG")
    head = b"\xff\xd8\xff\xe0" + comment + b"\xff\xfe\0\x7f*/=1;"
    return Hostile(name, head + script(name) + b"/*" + output.getvalue()[2:] + b"*/",
                   "text/javascript; charset=iso-8859-1")  # fmt: skip


def _utf_16(name: str) -> Hostile:
    text = f"<!doctype html><script>{script(name).decode()}</script>"
    return Hostile(name, b"\xff\xfe" + text.encode("utf-16-le"), "text/html")


def _xml(name: str, head: str, tail: str, kind: str) -> Hostile:
    escaped = script(name).decode().replace(">", "&gt;")
    return Hostile(name, f"{head}{escaped}{tail}".encode(), kind)


XHTML = "http://www.w3.org/1999/xhtml"
HOSTILE = [
    _page("page.html", b"<!doctype html><title>x</title>"),
    _page("late.html", b" " * 2000 + b"<!-- " + b"x" * 2000 + b" --><html>"),
    _page("bare.txt"),
    _utf_16("wide.html"),
    _xml("page.xhtml", f'<html xmlns="{XHTML}"><script>', "</script></html>",
         "application/xhtml+xml"),
    _xml("drawing.svg", '<svg xmlns="http://www.w3.org/2000/svg"><script>', "</script></svg>",
         "image/svg+xml"),
    _xml("feed.xml", f'<?xml version="1.0"?><r><script xmlns="{XHTML}">', "</script></r>",
         "text/xml"),
    Hostile("style.css", b"@import '/report/style.css'; * {color: red}", "text/css"),
    Hostile("plain.js", script("plain.js"), "text/javascript"),
    # polyglots: two formats at once
    _page("gif.html", b"GIF89a\1\0\1\0\0\0\0;"),
    _script("gif.js", b"GIF89a=1;"),
    _png("png.html"),
    _jpeg("jpeg.js"),
    _page("pdf.html", b"%PDF-1.7\n1 0 obj\n", b"\nendobj\n%%EOF"),
    _script("pdf.js", b"/*\n%PDF-1.4\n1 0 obj <<>> endobj\n*/"),
    _script("wav.js", b"RIFF=1/*WAVEfmt \x10\0\0\0*/;"),
    _page("webp.html", b"RIFF\x40\0\0\0WEBPVP8 \x20\0\0\0"),
    _script("bmp.js", b"BM=1;/*\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0*/"),
    _page("zip.html", b"PK\3\4\x14\0\0\0\0\0"),
    _page("mp4.html", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"),
    _page("mp3.html", b"ID3\3\0\0\0\0\0\0"),
    _page("icon.html", b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x18\0"),
]  # fmt: skip


EMBEDDED = """
<script src="{0}"></script><script type="module" src="{0}"></script>
<iframe src="{0}"></iframe><object data="{0}"></object><embed src="{0}">
<img src="{0}"><link rel="stylesheet" href="{0}">
<script>
    new Worker("{0}"); import("{0}").catch(() => 0);
    navigator.serviceWorker.register("{0}").catch(() => 0);
</script>
"""
"""A page that loads an address in each way that could run it."""
