"""Files on the web: URLs that expire, and answers as RFC 9110 says.

`FileServer` creates the URLs and answers requests for them. ``plan`` decides the answer, as a pure
function of method, headers and facts about the file. ``bodies`` reads the bytes from the storage;
``apps`` sends them.
"""

from sqlalchemy_file.content.filenames import INLINE_TYPES, content_disposition
from sqlalchemy_file.serving.delivery import Handover, Redirect, XAccelRedirect
from sqlalchemy_file.serving.http import ByteRange, FileFacts, Plan, plan
from sqlalchemy_file.serving.server import FileServer
from sqlalchemy_file.serving.target import RequestFacts, Target
from sqlalchemy_file.values.schemas import public_record, set_url_resolver

__all__ = [
    "INLINE_TYPES",
    "ByteRange",
    "FileFacts",
    "FileServer",
    "Handover",
    "Plan",
    "Redirect",
    "RequestFacts",
    "Target",
    "XAccelRedirect",
    "content_disposition",
    "plan",
    "public_record",
    "set_url_resolver",
]
