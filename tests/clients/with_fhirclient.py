"""fhirclient, the SMART on FHIR client of Python (https://pypi.org/project/fhirclient/)."""

import json
import uuid

import requests
from fhirclient.models.bundle import Bundle
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRServer
from steps import BASE, Steps, refused, token

steps = Steps("fhirclient")
state = {"base_uri": BASE + "/", "auth_type": "oauth2", "auth": {"access_token": token()}}
server = FHIRServer(None, state=state)
number = str(uuid.uuid4())

statement = server.capabilityStatement
steps.done("capabilities", statement.fhirVersion == "4.0.1" and len(statement.rest[0].resource) == 146)
# Reading the capabilities has put the library's authorization in place of the token.
server = FHIRServer(None, state=state)

made = Patient(
    {
        "resourceType": "Patient",
        "identifier": [{"system": "http://example.org/fhirclient", "value": number}],
        "name": [{"family": "Peña", "given": ["Ana"]}],
        "birthDate": "1984-02-29",
    }
).create(server)
steps.done("create", made["meta"]["versionId"] == "1")

patient = Patient.read(made["id"], server)
steps.done("read", patient.name[0].family == "Peña" and patient.birthDate.isostring == "1984-02-29")

patient.name[0].family = "Ruiz"
changed = patient.update()
steps.done("update", changed["meta"]["versionId"] == "2")

# The library has no patch of its own: its session and its signature are used.
headers = server.auth.signed_headers({"Content-Type": "application/json-patch+json"})
operations = [{"op": "add", "path": "/gender", "value": "other"}]
answer = server.session.patch(f"{BASE}/Patient/{made['id']}", headers=headers, data=json.dumps(operations))
steps.done("patch", answer.status_code == 200 and Patient(answer.json()).gender == "other")

found = Patient.where({"identifier": f"http://example.org/fhirclient|{number}"}).perform_resources(server)
steps.done("search", [one.id for one in found] == [made["id"]])

history = Bundle.read_from(f"Patient/{made['id']}/_history", server)
steps.done("history", history.type == "history" and [entry.resource.meta.versionId for entry in history.entry] == ["3", "2", "1"])

url = "urn:uuid:" + str(uuid.uuid4())
bundle = Bundle(
    {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": url, "request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Patient", "active": True}},
            {
                "request": {"method": "POST", "url": "Observation"},
                "resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": url}},
            },
        ],
    }
)
answer = Bundle(bundle.create(server))
steps.done("transaction", [entry.response.status[:3] for entry in answer.entry] == ["201", "201"])
observation = Observation.read_from(answer.entry[1].response.location, server)
steps.done("what the transaction wrote", answer.entry[0].response.location.startswith(observation.subject.reference + "/"))

wrong = Patient({"resourceType": "Patient", "birthDate": "1984-02-28"})
wrong.gender = "femenino"
outcome = refused(lambda: wrong.create(server), requests.HTTPError)
steps.done("a refusal has its place", outcome.response.status_code == 422 and "Patient.gender" in outcome.response.text)

patient = Patient.read(made["id"], server)
patient.delete()
gone = refused(lambda: Patient.read(made["id"], server), requests.HTTPError)
steps.done("delete", gone.response.status_code == 410)
steps.end()
