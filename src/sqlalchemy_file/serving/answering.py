"""Answer a request, as steps for both ASGI and WSGI applications.

The generator yields what must be waited for; its driver calls or awaits it. Answers without a file
are problem documents (RFC 9457) without details.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, TypedDict, cast

from sqlalchemy_file.content.filenames import INLINE_TYPES, Disposition
from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    ObjectNotFoundError,
    StorageError,
    UnknownStorageError,
)
from sqlalchemy_file.observing import not_served
from sqlalchemy_file.serving.delivery import (
    Delivery,
    DeliveryChoice,
    Handover,
    chosen_delivery,
    stream,
)
from sqlalchemy_file.serving.event_loop import in_time, refuse_if_hanging, turns
from sqlalchemy_file.serving.http import ByteRange, FileFacts, Plan, plan, plan_without_file
from sqlalchemy_file.serving.target import (
    PRIVATE,
    Authorize,
    RequestFacts,
    Target,
    protecting_headers,
    require_resource_policy,
    target_of,
)
from sqlalchemy_file.storage import ObjectInfo, StorageManager
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling
from sqlalchemy_file.storage.common.keys import check_key, refuse_reserved
from sqlalchemy_file.storage.common.protocol import named

RETRY_AFTER = 5
"""Seconds after which a client may ask a storage again that did not answer."""

_DETAILS = {
    HTTPStatus.FORBIDDEN: "This URL is not valid.",
    HTTPStatus.NOT_FOUND: "There is no such file.",
    HTTPStatus.GONE: "This URL has expired.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The file cannot be read at the moment.",
    HTTPStatus.GATEWAY_TIMEOUT: "The file could not be read in time.",
}


def problem(status: HTTPStatus) -> Plan:
    """Return an answer whose body is a problem document."""
    body = json.dumps(
        {"type": "about:blank", "title": status.phrase, "status": int(status),
         "detail": _DETAILS[status]}
    ).encode()  # fmt: skip
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    return Plan(status, headers, (body,))


def problem_of(error: Exception) -> Plan:
    """Return the answer to an error of a storage, and log it; any other error is raised again."""
    if isinstance(error, ObjectNotFoundError | InvalidKeyError):
        return problem(HTTPStatus.NOT_FOUND)
    if not isinstance(error, StorageError | UnknownStorageError):
        raise error
    not_served(error)
    if isinstance(error, UnknownStorageError):
        return problem(HTTPStatus.NOT_FOUND)
    causes = (error, error.__cause__, getattr(error.__cause__, "__cause__", None))
    timed_out = any(isinstance(cause, TimeoutError) for cause in causes)
    return problem(HTTPStatus.GATEWAY_TIMEOUT if timed_out else HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A plan, and the object whose bytes it sends, if any; ``info`` if the storage was asked."""

    plan: Plan
    target: Target | None = None
    info: ObjectInfo | None = None

    def with_headers(self, own: Sequence[tuple[str, str]]) -> Answer:
        """Return the answer with more headers, which replace those of the same name."""
        if not own:
            return self
        names = {name.lower() for name, _ in own}
        kept = [pair for pair in self.plan.headers if pair[0].lower() not in names]
        return replace(self, plan=replace(self.plan, headers=[*kept, *own]))


Step = Callable[[Calling], Awaitable[Any]]
"""One thing to wait for, which is done in a thread or by coroutines."""

Answering = Generator[Step, Any, Answer]

Answers = Callable[[RequestFacts], Answering]
"""What an application needs of a file server: how it answers."""


def answering(
    request: RequestFacts,
    target: Target,
    headers: Sequence[tuple[str, str]],
    delivery: Delivery,
    authorize: Authorize | None = None,
) -> Answering:
    """Answer a request for a target; ``headers`` go with the file."""
    if (refused := plan_without_file(request.method)) is not None:
        return Answer(refused)
    if authorize is not None and not (yield partial(_is_allowed, authorize, request, target)):
        return Answer(problem(HTTPStatus.FORBIDDEN))
    try:
        return (yield from _sending(request, target, headers, delivery))
    except Exception as error:  # noqa: BLE001  other errors than a storage's are raised again
        return Answer(problem_of(error))


def _sending(
    request: RequestFacts,
    target: Target,
    headers: Sequence[tuple[str, str]],
    delivery: Delivery,
) -> Answering:
    info: ObjectInfo | None = None
    if target.size is None or request.method == "HEAD":
        info = yield partial(stat, target)
    facts = target.facts(info, headers)
    # Signing may ask another server for credentials: it does not run on the event loop.
    hands_over = partial(_handover, request, target, facts, delivery)
    handover = None if delivery is stream else (yield lambda calling: calling.run(hands_over))
    if handover is not None:
        return Answer(_handed_over(handover, facts))
    answer = plan(request.method, request.headers, facts)
    asks_storage_first = answer.body and isinstance(answer.body[0], ByteRange)
    if info is None and not asks_storage_first:
        info = yield partial(stat, target)  # a missing object has no other answer than 404
    return Answer(answer, target if answer.body else None, info)


async def stat(target: Target, calling: Calling) -> ObjectInfo:
    """Return what a storage says of the object of a target."""
    if calling is IN_LOOP:
        refuse_if_hanging(target.storage, target.key)
    with named(target.storage):
        found = calling.call(StorageManager.storage(target.storage), "stat", target.key)
        if calling is IN_LOOP:
            found = in_time(target.storage, target.key, found)
        return cast("ObjectInfo", await found)


async def drive(steps: Answering, calling: Calling) -> Answer:
    """Take the steps."""
    if calling is IN_LOOP:
        await turns().take()
    try:
        step = next(steps)
        while True:
            try:
                taken = await step(calling)
            except Exception as error:  # noqa: BLE001  it is raised in the generator
                step = steps.throw(error)
            else:
                step = steps.send(taken)
    except StopIteration as end:
        return cast("Answer", end.value)


async def _is_allowed(
    authorize: Authorize, request: RequestFacts, target: Target, calling: Calling
) -> bool:
    allowed: Any
    if calling is IN_LOOP and inspect.iscoroutinefunction(authorize):
        allowed = authorize(request, target)
    else:
        allowed = await calling.run(lambda: authorize(request, target))
    if inspect.isawaitable(allowed):
        if calling is IN_THREAD:
            if inspect.iscoroutine(allowed):
                allowed.close()
            raise TypeError("authorize is a coroutine function: serve with FileServer.asgi")
        allowed = await allowed
    # A response or a user, say, would be true as well.
    if allowed and allowed is not True:
        raise TypeError(f"authorize returns True or False, not {type(allowed).__name__}")
    return allowed is True


def _handover(
    request: RequestFacts, target: Target, facts: FileFacts, delivery: Delivery
) -> Handover | None:
    """Return how another server answers, or None.

    Conditions and ranges are left to that server: it has entity tags and dates of its own. HEAD is
    not redirected, since a presigned URL is valid for GET only.
    """
    refuse_reserved(check_key(target.key))  # a storage would; another server may follow ".."
    handover = delivery(target, facts)
    return None if handover and handover.is_redirect and request.method == "HEAD" else handover


def _handed_over(handover: Handover, facts: FileFacts) -> Plan:
    whole = plan("HEAD", {}, facts)
    dropped = {"content-length"}
    own = [(handover.name, handover.value), ("Content-Length", "0")]
    if handover.is_redirect:
        dropped |= {"content-type", "content-disposition", "accept-ranges", "etag", "repr-digest",
                    "last-modified", "cache-control"}  # fmt: skip
        own.append(("Cache-Control", _caching_of_redirect(whole, handover.max_age)))
    kept = [(name, value) for name, value in whole.headers if name.lower() not in dropped]
    status = HTTPStatus.FOUND if handover.is_redirect else HTTPStatus.OK
    return replace(whole, status=status, headers=[*own, *kept], body=())


def _caching_of_redirect(whole: Plan, max_age: int) -> str:
    """Return ``Cache-Control`` of a redirect: it must not outlive the URL that it leads to."""
    known = next((value for name, value in whole.headers if name == "Cache-Control"), "")
    allowed = re.search(r"max-age=(\d+)", known)
    if allowed is None or "no-cache" in known or "no-store" in known:
        return "private, no-store"
    return f"private, max-age={min(int(allowed[1]), max_age)}"


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
    inline: Collection[str] = INLINE_TYPES,
    delivery: DeliveryChoice = "stream",
    cache_control: str = PRIVATE,
    resource_policy: str = "same-origin",
    **described: Any,
) -> Answering:
    """Answer a request with a stored file, its thumbnail, or one of its variants.

    Raises what `target_of` raises, which gets the other `ResponseOptions`. The parameters are those
    of `FileServer`.
    """
    target = target_of(file, inline=inline, **described)
    require_resource_policy(resource_policy)
    headers = [("Cache-Control", cache_control), *protecting_headers(target, resource_policy)]
    return answering(request, target, headers, chosen_delivery(delivery)(target.storage))
