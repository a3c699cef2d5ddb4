"""Answers for routes of the application, which has decided who may read the file."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypedDict

from sqlalchemy_file.content.disposition import INLINE_TYPES, Disposition
from sqlalchemy_file.serving.answering import Answering, answering
from sqlalchemy_file.serving.policy import protecting_headers, require_resource_policy
from sqlalchemy_file.serving.request import RequestFacts
from sqlalchemy_file.serving.sending.delivery import DeliveryChoice, chosen_delivery
from sqlalchemy_file.serving.target import target_of

PRIVATE = "private, no-cache"
"""``Cache-Control`` of files whose readers the application decides on: browsers ask each time."""


class ResponseOptions(TypedDict, total=False):
    """The options of `answer_with`."""

    variant: str | None
    disposition: Disposition | None
    filename: str | None
    inline: Collection[str]
    delivery: DeliveryChoice
    cache_control: str
    resource_policy: str


def answer_with(
    request: RequestFacts,
    file: Any,
    *,
    variant: str | None = None,
    disposition: Disposition | None = None,
    filename: str | None = None,
    inline: Collection[str] = INLINE_TYPES,
    delivery: DeliveryChoice = "stream",
    cache_control: str = PRIVATE,
    resource_policy: str = "same-origin",
) -> Answering:
    """Answer a request with a stored file, its thumbnail, or one of its variants.

    Raises what `target_of` raises. The parameters are those of `FileServer`.
    """
    target = target_of(
        file, variant=variant, disposition=disposition, filename=filename, inline=inline
    )
    require_resource_policy(resource_policy)
    headers = [
        ("Cache-Control", cache_control),
        *protecting_headers(target.content_type, target.disposition, resource_policy),
    ]
    return answering(request, target, headers, chosen_delivery(delivery)(target.storage))
