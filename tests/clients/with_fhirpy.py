"""fhirpy (https://pypi.org/project/fhirpy/), synchronous."""

import uuid

from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound
from steps import BASE, Steps, refused, token

steps = Steps("fhirpy")
authorization = "Bearer " + token()
client = SyncFHIRClient(BASE, authorization=authorization)
number = str(uuid.uuid4())

patient = client.resource(
    "Patient",
    active=True,
    identifier=[{"system": "http://example.org/fhirpy", "value": number}],
    name=[{"family": "Peña", "given": ["Ana"]}],
    gender="female",
    birthDate="1984-02-29",
)
patient.save()
steps.done("create", patient.id and patient.meta.versionId == "1")

again = client.reference("Patient", patient.id).to_resource()
steps.done("read", again.name[0].family == "Peña" and again.serialize() == patient.serialize())

again["name"][0]["family"] = "Ruiz"
again.save()
steps.done("update", again.meta.versionId == "2")

# FHIR's own patch: the library adds headers and sends what it is given.
json_patch = SyncFHIRClient(
    BASE, authorization=authorization, extra_headers={"Content-Type": "application/json-patch+json"}
)
operations = [{"op": "replace", "path": "/gender", "value": "other"}, {"op": "remove", "path": "/birthDate"}]
patched = json_patch.execute(f"Patient/{patient.id}", method="patch", data=operations)
steps.done("patch (JSON Patch)", patched.gender == "other" and "birthDate" not in patched and patched.meta.versionId == "3")

# The library's own patch: some elements, as a merge patch.
again.patch(birthDate="1984", gender="female")
steps.done("patch (of the library)", again.birthDate == "1984" and again.name[0].family == "Ruiz")

found = client.resources("Patient").search(identifier=f"http://example.org/fhirpy|{number}").fetch_all()
steps.done("search", [one.id for one in found] == [patient.id])
# It asks with a parameter of another server (_totalMethod), which is left out when the caller says so.
lenient = SyncFHIRClient(BASE, authorization=authorization, extra_headers={"Prefer": "handling=lenient"})
count = lenient.resources("Patient").search(identifier=f"http://example.org/fhirpy|{number}").count()
steps.done("count", count == 1)

history = client.execute(f"Patient/{patient.id}/_history", method="get")
steps.done("history", history.type == "history" and [entry.resource.meta.versionId for entry in history.entry] == ["4", "3", "2", "1"])

# Its own conditional create stands in the address, which R4 does not know: refused, never done without its condition.
twin = client.resource("Patient", identifier=[{"system": "http://example.org/fhirpy", "value": number}])
search = client.resources("Patient").search(identifier=f"http://example.org/fhirpy|{number}")
outcome = refused(lambda: search.get_or_create(twin), OperationOutcome)
steps.done("a create with criteria in its address is refused", "If-None-Exist" in str(outcome.resource))
criteria = {"If-None-Exist": f"identifier=http://example.org/fhirpy|{number}"}
conditional = SyncFHIRClient(BASE, authorization=authorization, extra_headers=criteria)
same = conditional.resource("Patient", active=True)
same.save()
steps.done("conditional create", same.id == patient.id)

url = "urn:uuid:" + str(uuid.uuid4())
bundle = client.resource(
    "Bundle",
    type="transaction",
    entry=[
        {"fullUrl": url, "request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Patient", "active": True}},
        {
            "request": {"method": "POST", "url": "Observation"},
            "resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": url}},
        },
    ],
)
answer = client.execute("", data=bundle.serialize())
steps.done("transaction", answer.type == "transaction-response" and [e.response.status[:3] for e in answer.entry] == ["201", "201"])

operation = client.resource("Patient", active=True, birthDate="1984-02-30")
outcome = refused(operation.save, OperationOutcome)
steps.done("a refusal has its place", "Patient.birthDate" in str(outcome.resource))
steps.done("is_valid", not operation.is_valid() and again.is_valid())

again.delete()
refused(client.reference("Patient", patient.id).to_resource, ResourceNotFound)
steps.done("delete")
steps.end()
