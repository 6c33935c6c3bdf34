#!/usr/bin/env bash
# Writes a patient (once: If-None-Exist) and reads her back.
. "$(dirname "$0")/ambiente.sh"
RNEC=https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC
fhir --header "If-None-Exist: identifier=$RNEC|52999222" "$FHIR/Patient" --data @- <<JSON | ver
{
  "resourceType": "Patient",
  "identifier": [{"use": "official", "type": {"coding": [{"code": "CC"}]}, "system": "$RNEC", "value": "52999222"}],
  "name": [{"use": "official", "family": "Ruiz Peña", "given": ["Ana", "María"]}],
  "gender": "female",
  "birthDate": "1988-02-29"
}
JSON
fhir "$FHIR/Patient?identifier=$RNEC|52999222" | de total
