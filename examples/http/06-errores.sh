#!/usr/bin/env bash
# What is wrong is told whole, with the place (400), and what does not exist is refused by name.
. "$(dirname "$0")/ambiente.sh"
rechazo() {
  local expected=$1 status
  status=$(curl --silent --output "$SALIDA" --write-out '%{http_code}' --header "Authorization: Bearer $TOKEN" --header 'Content-Type: application/fhir+json' "${@:2}")
  ver < "$SALIDA"
  test "$status" = "$expected"
}
SALIDA=$(mktemp)
trap 'rm -f "$SALIDA"' EXIT
rechazo 400 "$FHIR/Patient" --data '{"resourceType": "Patient", "birthDate": "29/02/1988", "colour": "blue"}'
rechazo 400 "$FHIR/Patient?apellido=pena"
rechazo 404 "$FHIR/Patient/nobody"
rechazo 422 "$FHIR/Observation" --data '{"resourceType": "Observation", "status": "final", "code": {"text": "Peso"}, "subject": {"reference": "Patient/nobody"}}'
