#!/usr/bin/env bash
# Patient, visit and weight in one transaction: all or nothing, entries refer to each other.
. "$(dirname "$0")/ambiente.sh"
fhir "$FHIR" --data @- <<'JSON' | ver
{
  "resourceType": "Bundle",
  "type": "transaction",
  "entry": [
    {"fullUrl": "urn:uuid:11111111-1111-4111-8111-111111111111", "request": {"method": "POST", "url": "Patient"},
     "resource": {"resourceType": "Patient", "name": [{"family": "Prueba Transacción", "given": ["Íngrid"]}], "gender": "female", "birthDate": "2001-07-09"}},
    {"fullUrl": "urn:uuid:22222222-2222-4222-8222-222222222222", "request": {"method": "POST", "url": "Encounter"},
     "resource": {"resourceType": "Encounter", "status": "finished", "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
       "subject": {"reference": "urn:uuid:11111111-1111-4111-8111-111111111111"}, "period": {"start": "2026-11-03T08:00:00-05:00", "end": "2026-11-03T08:20:00-05:00"}}},
    {"request": {"method": "POST", "url": "Observation"},
     "resource": {"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7", "display": "Peso corporal"}]},
       "subject": {"reference": "urn:uuid:11111111-1111-4111-8111-111111111111"}, "encounter": {"reference": "urn:uuid:22222222-2222-4222-8222-222222222222"},
       "effectiveDateTime": "2026-11-03T08:05:00-05:00", "valueQuantity": {"value": 72.50, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}}}
  ]
}
JSON
