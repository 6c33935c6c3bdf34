#!/usr/bin/env bash
# A new version of a resource, on condition that nobody was faster; the old one stays readable.
. "$(dirname "$0")/ambiente.sh"
PACIENTE=$(fhir "$FHIR/Patient" --data '{"resourceType": "Patient", "active": true, "name": [{"family": "Prueba Corrección"}], "birthDate": "1990-01-02"}')
ID=$(de id <<< "$PACIENTE")
VERSION=$(de meta.versionId <<< "$PACIENTE")
fhir --request PUT --header "If-Match: W/\"$VERSION\"" "$FHIR/Patient/$ID" \
  --data "{\"resourceType\": \"Patient\", \"id\": \"$ID\", \"active\": true, \"name\": [{\"family\": \"Prueba Corrección\"}], \"birthDate\": \"1990-02-01\"}" | ver
fhir "$FHIR/Patient/$ID/_history/$VERSION" | de birthDate
fhir "$FHIR/Patient/$ID/_history" | de total
# The same condition again: somebody was faster (412).
STATUS=$(curl --silent --output /dev/null --write-out '%{http_code}' --request PUT --header "Authorization: Bearer $TOKEN" --header 'Content-Type: application/fhir+json' \
  --header "If-Match: W/\"$VERSION\"" "$FHIR/Patient/$ID" --data "{\"resourceType\": \"Patient\", \"id\": \"$ID\"}")
echo "with an old version: $STATUS"
test "$STATUS" = 412
fhir --request DELETE "$FHIR/Patient/$ID"
