"""What the Python scripts share: the token, and the counting of steps."""

import json
import os
import urllib.parse
import urllib.request

ROOT = os.environ["HISTORIA_ROOT"].rstrip("/")
BASE = ROOT + "/fhir"


def token():
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["HISTORIA_CLIENT_ID"],
        "client_secret": os.environ["HISTORIA_CLIENT_SECRET"],
    }
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(ROOT + "/oauth/token", data=data) as answer:
        return json.load(answer)["access_token"]


class Steps:
    def __init__(self, library):
        self.library, self.count = library, 0

    def done(self, step, holds=True):
        if not holds:
            raise AssertionError(f"{self.library}: {step}")
        self.count += 1
        print(f"{self.library}: {step}")

    def end(self):
        print(f"DONE {self.library} {self.count}")


def refused(call, error):
    """The error of this class that a call ends in."""
    try:
        call()
    except error as found:
        return found
    raise AssertionError(f"no {error}")
