#!/usr/bin/env bash
# A program asks for its token (OAuth 2, client_credentials), and what the server says of itself.
. "$(dirname "$0")/ambiente.sh"
llamar --user "$(valor client.id):$(valor client.secret)" --data grant_type=client_credentials "$HTTP/oauth/token" | ver
llamar "$HTTP/oauth/jwks" | ver
llamar "$FHIR/metadata" | de fhirVersion
