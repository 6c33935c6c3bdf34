#!/usr/bin/env python3
"""Sends HL7 v2 files over MLLP and prints what is answered: enviar.py [--hoy] FILE...

The address is HISTORIA_MLLP (host:port), else that of ready.json (HISTORIA_READY, else .historia/ready.json).
--hoy moves the day of the composed messages to today. Ends with 1 when a message was not accepted.
"""
import datetime
import json
import os
import socket
import sys

DAY = b"20261123"
BOGOTA = datetime.timezone(datetime.timedelta(hours=-5))


def address():
    text = os.environ.get("HISTORIA_MLLP")
    if not text:
        with open(os.environ.get("HISTORIA_READY", ".historia/ready.json")) as file:
            text = json.load(file)["mllp"]
    host, port = text.removeprefix("mllp://").rsplit(":", 1)
    return host, int(port)


def ask(connection, message):
    connection.sendall(b"\x0b" + message + b"\x1c\r")
    answer = b""
    while not answer.endswith(b"\x1c\r"):
        part = connection.recv(4096)
        if not part:
            raise SystemExit("the connection was closed before an answer came")
        answer += part
    return answer[1:-2]


def main():
    files = sys.argv[1:]
    today = files[:1] == ["--hoy"]
    files = files[1:] if today else files
    if not files:
        raise SystemExit(__doc__)
    refused = 0
    with socket.create_connection(address(), timeout=30) as connection:
        for name in files:
            with open(name, "rb") as file:
                message = file.read()
            if today:
                message = message.replace(DAY, datetime.datetime.now(BOGOTA).strftime("%Y%m%d").encode())
            segments = ask(connection, message).decode("utf-8", "replace").split("\r")
            said = [segment for segment in segments if segment[:3] in ("MSA", "ERR")]
            refused += not said or not said[0].startswith("MSA|AA")
            print(os.path.basename(name), *said, sep="  ")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
