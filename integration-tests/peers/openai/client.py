"""Asks by OpenAI's library, in one piece or as a stream, and says what it got or why not.

Usage: client.py whole|stream URL MODEL MESSAGE
"""

import json
import sys

import openai


def whole(client, asked):
    answer = client.chat.completions.create(**asked)
    return {"text": answer.choices[0].message.content, "tokens": answer.usage.total_tokens}


def stream(client, asked):
    options = {"include_usage": True}
    text, tokens = "", None
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options=options):
        for choice in chunk.choices:
            text += choice.delta.content or ""
        if chunk.usage:
            tokens = chunk.usage.total_tokens
    return {"text": text, "tokens": tokens}


def main(how, url, model, message):
    client = openai.OpenAI(base_url=url, api_key="unused")
    models = [one.id for one in client.models.list()]
    asked = {"model": model, "messages": [{"role": "user", "content": message}]}
    try:
        said = (whole if how == "whole" else stream)(client, asked)
    except openai.APIError as error:
        said = {"error": error.message, "code": error.code}
    print(json.dumps({"models": models, **said}))


main(*sys.argv[1:])
