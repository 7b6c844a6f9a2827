"""The door of the default model proxy: nothing reaches LiteLLM but what the LanguageModel says.

LiteLLM serves hundreds of routes and lets a caller steer it by body fields and headers. This file stands before all of them. It knows
the paths, the body fields, the model and its limits (guard.json, beside it); what it does not know it refuses, and what it passes on
it has written itself. LiteLLM loads it by `general_settings.custom_auth` while it starts.
"""

import asyncio
import json
import math
import os
import time
from collections import deque

CHAT = frozenset({"/v1/chat/completions", "/chat/completions"})
MODELS = frozenset({"/v1/models", "/models"})
HEALTH = frozenset({"/health/liveness", "/health/readiness"})
LONGEST_BODY = 16 * 2**20
# Set by the door, asked for by `authenticate`. A caller cannot set a key of an ASGI scope.
PASSED = "langop.passed"


class Refused(Exception):
    """An answer of the door's own, in the shape of OpenAI's errors."""

    def __init__(self, status, code, message, retry_after=None):
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


def allow(method, path, body, rules):
    """The path and body that LiteLLM is to see instead of these, or Refused."""
    if method == "GET" and path in HEALTH:
        return path, b""
    if method == "GET" and path in MODELS:
        return "/v1/models", b""
    if method == "POST" and path in CHAT:
        return "/v1/chat/completions", json.dumps(chat(parse(body), rules), ensure_ascii=False).encode()
    raise Refused(404, "unknown_route", "this proxy serves POST /v1/chat/completions and GET /v1/models only")


def parse(body):
    def once(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a field is given twice")
        return found

    def finite(text):
        raise ValueError(f"{text} is no JSON")

    try:
        return json.loads(body.decode(), object_pairs_hook=once, parse_constant=finite)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "invalid_json", f"the body cannot be read as JSON: {error}") from None


def chat(body, rules):
    """The body of a chat completion with known fields only, the LanguageModel's own name and no limit above its own."""
    check("the body", body, dict)
    # A client that writes null means "not set".
    body = {name: value for name, value in body.items() if value is not None}
    for name, value in body.items():
        if name not in FIELDS:
            raise Refused(400, "unknown_field", f"this proxy does not take the field '{name}': leave it out")
        FIELDS[name](name, value)
    if body.get("model") not in rules["names"]:
        known = " or ".join(f"'{name}'" for name in rules["names"])
        raise Refused(404, "model_not_found", f"this proxy serves one model: ask for {known}")
    if "messages" not in body:
        raise Refused(400, "invalid_field", "messages: write a list of messages")
    # One answer only, so the limit is the limit; and one name for it.
    body.pop("n", None)
    limits = [body.pop("max_completion_tokens", None), body.pop("max_tokens", None), rules["max_tokens"]]
    limits = [limit for limit in limits if limit is not None]
    return {**body, "model": rules["model"], **({"max_tokens": min(limits)} if limits else {})}


def check(name, value, *types):
    # `True` is an int to Python and not to JSON.
    if type(value) not in types:
        wanted = " or ".join({dict: "an object", list: "a list", str: "a text", int: "a whole number",
                              float: "a number", bool: "true or false"}[one] for one in types)
        raise Refused(400, "invalid_field", f"{name}: write {wanted}")


def of(*types):
    return lambda name, value: check(name, value, *types)


def at_least_one(name, value):
    check(name, value, int)
    if value < 1:
        raise Refused(400, "invalid_field", f"{name}: write a whole number of at least 1")


def one(name, value):
    check(name, value, int)
    if value != 1:
        raise Refused(400, "invalid_field", f"{name}: this proxy gives one answer to a request; ask again for another")


def messages(name, value):
    check(name, value, list)
    for message in value:
        check(f"{name}[]", message, dict)
        content = message.get("content")
        if content is not None:
            check(f"{name}[].content", content, str, list)
        for part in content if isinstance(content, list) else ():
            content_part(f"{name}[].content[]", part)


# `thinking` is what a model said before, which its provider wants back.
PARTS = frozenset({"text", "refusal", "image_url", "input_audio", "thinking", "redacted_thinking"})


def content_part(name, part):
    check(name, part, dict)
    if part.get("type") not in PARTS:
        raise Refused(400, "invalid_field", f"{name}: type is one of {', '.join(sorted(PARTS))}")
    if part["type"] == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        # An address would be fetched by the proxy, which reaches more than the caller does.
        if not isinstance(url, str) or not url.startswith("data:"):
            raise Refused(400, "invalid_field", f"{name}: give an image as a data: URL; this proxy fetches nothing")


def tools(name, value):
    """Functions, which the caller runs. Every other kind is run by the provider or by LiteLLM."""
    check(name, value, list)
    for tool in value:
        check(f"{name}[]", tool, dict)
        if tool.get("type") != "function" or not tool.keys() <= {"type", "function", "cache_control"}:
            raise Refused(400, "invalid_field", f"{name}: write tools of type function, with nothing beside function")


def tool_choice(name, value):
    check(name, value, str, dict)
    if isinstance(value, dict) and value.get("type") != "function":
        raise Refused(400, "invalid_field", f"{name}: write auto, none, required or a function")


def stream_options(name, value):
    check(name, value, dict)
    if not value.keys() <= {"include_usage"}:
        raise Refused(400, "invalid_field", f"{name}: the only option is include_usage")


def response_format(name, value):
    check(name, value, dict)
    if value.get("type") not in ("text", "json_object", "json_schema"):
        raise Refused(400, "invalid_field", f"{name}: type is text, json_object or json_schema")


number = of(int, float)
FIELDS = {
    "frequency_penalty": number,
    "logit_bias": of(dict),
    "logprobs": of(bool),
    "max_completion_tokens": at_least_one,
    "max_tokens": at_least_one,
    "messages": messages,
    "model": of(str),
    "n": one,
    "parallel_tool_calls": of(bool),
    "presence_penalty": number,
    "reasoning_effort": of(str),
    "response_format": response_format,
    "seed": of(int),
    "stop": of(str, list),
    "stream": of(bool),
    "stream_options": stream_options,
    "temperature": number,
    "tool_choice": tool_choice,
    "tools": tools,
    "top_logprobs": of(int),
    "top_p": number,
    "user": of(str),
}


class Minute:
    """Requests of the last sixty seconds. LiteLLM counts one only when it is answered, so many at once pass it."""

    def __init__(self, most):
        self.most, self.times = most, deque()

    def take(self, now):
        while self.times and self.times[0] <= now - 60:
            self.times.popleft()
        if self.most is not None and len(self.times) >= self.most:
            wait = math.ceil(self.times[0] + 60 - now)
            raise Refused(429, "rate_limit_exceeded", f"this model takes {self.most} requests a minute", wait)
        self.times.append(now)


class Door:
    """An ASGI application before another."""

    def __init__(self, app, rules):
        self.app, self.rules = app, rules
        self.minute = Minute(rules["requests_per_minute"])

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        try:
            path, body = allow(scope["method"], scope["path"], await read(receive), self.rules)
            if scope["method"] == "POST":
                self.minute.take(time.monotonic())
        except Refused as refused:
            return await answer(send, refused)
        send = Once(send)
        await self.within_time(self.app(passed(scope, path, body), replay(body, receive), send), send)

    async def within_time(self, call, send):
        """LiteLLM's own limit counts from one byte to the next; this one counts the whole, a second later."""
        limit = self.rules["timeout_seconds"]
        try:
            await asyncio.wait_for(call, None if limit is None else limit + 1)
        except asyncio.TimeoutError:
            # Where the answer has begun, the server cuts the connection.
            if not send.begun:
                await answer(send, Refused(504, "timeout", f"the model did not answer within {limit} seconds"))


class Once:
    """`send`, and whether an answer has begun."""

    def __init__(self, send):
        self.send, self.begun = send, False

    async def __call__(self, event):
        self.begun = True
        await self.send(event)


def passed(scope, path, body):
    """The scope without the caller's query and headers."""
    host = [(name, value) for name, value in scope["headers"] if name == b"host"]
    headers = [*host, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return {**scope, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers, PASSED: True}


async def read(receive):
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Refused(400, "cut", "the body is cut")
        body += event.get("body", b"")
        if len(body) > LONGEST_BODY:
            raise Refused(413, "too_large", f"the body is longer than {LONGEST_BODY} bytes")
        if not event.get("more_body", False):
            return bytes(body)


def replay(body, receive):
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def next_event():
        return next(events, None) or await receive()

    return next_event


async def answer(send, refused):
    error = {"message": str(refused), "type": "invalid_request_error", "param": None, "code": refused.code}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.retry_after is not None:
        headers.append((b"retry-after", str(refused.retry_after).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def authenticate(request, api_key):
    """LiteLLM asks this at its own routes: callers need no key, and none of them is here but through the door."""
    from fastapi import HTTPException
    from litellm.proxy._types import UserAPIKeyAuth

    if request.scope.get(PASSED) is not True:
        raise HTTPException(403, "this request did not come through the door")
    return UserAPIKeyAuth()


def install():
    from litellm.proxy.proxy_server import app

    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "guard.json"), encoding="utf-8") as file:
        rules = json.load(file)
    # It is there: LiteLLM reads its configuration in the application's own start, through this very stack.
    app.middleware_stack = Door(app.middleware_stack, rules)


# Under that name LiteLLM loads it; a test imports it as a library.
if __name__ == "guard":
    install()
