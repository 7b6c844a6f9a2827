"""Gives an agent tasks by the Python SDK's client and says what it got or why not.

Usage: client.py whole|stream|polled|cancelled|unversioned URL MESSAGE
"""

import asyncio
import json
import sys

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import new_text_message
from a2a.types import CancelTaskRequest, GetTaskRequest, Role, SendMessageRequest, TaskState
from a2a.utils.errors import A2AError


def state(of):
    return TaskState.Name(of.status.state)


def texts(artifacts):
    return [part.text for artifact in artifacts for part in artifact.parts]


async def events(client, message):
    """Each state, and each text of an artifact, as they come; and the task's id."""
    told, task = [], None
    async for event in client.send_message(SendMessageRequest(message=message)):
        if event.HasField("task"):
            task = event.task.id
            told += [state(event.task), *texts(event.task.artifacts)]
        elif event.HasField("status_update"):
            told.append(state(event.status_update))
        else:
            told += texts([event.artifact_update.artifact])
    return told, task


async def main(how, url, text):
    # Else the SDK writes its own: no version is 0.3.
    headers = {"A2A-Version": ""} if how == "unversioned" else {}
    async with httpx.AsyncClient(timeout=60, headers=headers) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        polling = how in ("polled", "cancelled")
        config = ClientConfig(streaming=how == "stream", polling=polling, httpx_client=http)
        client = ClientFactory(config).create(card)
        said = {"name": card.name, "streaming": card.capabilities.streaming}
        try:
            said["told"], task = await events(client, new_text_message(text, role=Role.ROLE_USER))
            if how == "cancelled":
                said["ended"] = state(await client.cancel_task(CancelTaskRequest(id=task)))
            if how in ("polled", "cancelled"):
                said |= await until_over(client, task)
        except A2AError as error:
            said |= {"error": type(error).__name__, "message": error.message}
    print(json.dumps(said))


async def until_over(client, task):
    while True:
        found = await client.get_task(GetTaskRequest(id=task))
        if state(found) not in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"):
            return {"ended": state(found), "texts": texts(found.artifacts)}
        await asyncio.sleep(0.02)


asyncio.run(main(*sys.argv[1:]))
