"""The door of the default model proxy without LiteLLM: loads guard.py as LiteLLM does, before an application that says what it sees.

    python3 door.py FOLDER < requests.json

FOLDER holds guard.py and guard.json. Reads a list of {method, path, query, headers, body}, in which `hang` makes the application hang;
prints for each {status, headers, body, seen}, where `seen` is the request that came through, or null. Then the words of `authenticate` on a request
that did not come through the door.
"""

import asyncio
import importlib.util
import json
import os
import sys
import types


class Inner:
    """What stands for LiteLLM."""

    def __init__(self):
        self.seen, self.hang = None, False

    async def __call__(self, scope, receive, send):
        event = await receive()
        self.seen = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "headers": sorted(name.decode() for name, _ in scope["headers"]),
            "body": event["body"].decode(),
        }
        if self.hang:
            await asyncio.Event().wait()
        await module.authenticate(types.SimpleNamespace(scope=scope), "")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


class HTTPException(Exception):
    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status


def stand_in(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)


inner = Inner()
app = types.SimpleNamespace(middleware_stack=inner)
stand_in("litellm")
stand_in("litellm.proxy")
stand_in("litellm.proxy.proxy_server", app=app)
stand_in("litellm.proxy._types", UserAPIKeyAuth=dict)
stand_in("fastapi", HTTPException=HTTPException)
spec = importlib.util.spec_from_file_location("guard", os.path.join(sys.argv[1], "guard.py"))
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


async def ask(request):
    inner.seen, inner.hang = None, request.get("hang", False)
    events = iter([{"type": "http.request", "body": request.get("body", "").encode()}])
    sent = []

    async def receive():
        return next(events, {"type": "http.disconnect"})

    async def send(event):
        sent.append(event)

    scope = {
        "type": "http",
        "method": request["method"],
        "path": request["path"],
        "raw_path": request["path"].encode(),
        "query_string": request.get("query", "").encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in request.get("headers", [])],
    }
    await app.middleware_stack(scope, receive, send)
    start, end = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return {"status": start["status"], "headers": headers, "body": end["body"].decode(), "seen": inner.seen}


async def unmarked():
    try:
        await module.authenticate(types.SimpleNamespace(scope={}), "")
    except HTTPException as refused:
        return {"status": refused.status}
    return {"status": 200}


async def main():
    answers = [await ask(request) for request in json.load(sys.stdin)]
    print(json.dumps({"answers": answers, "unmarked": await unmarked()}))


asyncio.run(main())
