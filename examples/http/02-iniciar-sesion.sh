#!/usr/bin/env bash
# A person signs in, reads, and signs out; afterwards the token is dead.
. "$(dirname "$0")/ambiente.sh"
SESION=$(acceso medico | llamar --header 'Content-Type: application/json' --data @- "$HTTP/login" | de access_token)
llamar --header "Authorization: Bearer $SESION" "$FHIR/Patient?name=quinones" | ver
llamar --request POST --header "Authorization: Bearer $SESION" "$HTTP/logout"
STATUS=$(curl --silent --output /dev/null --write-out '%{http_code}' --header "Authorization: Bearer $SESION" "$FHIR/Patient?name=quinones")
echo "after logout: $STATUS"
test "$STATUS" = 401
