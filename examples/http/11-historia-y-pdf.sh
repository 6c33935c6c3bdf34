#!/usr/bin/env bash
# One record by the document of its person: as JSON, and as PDF to take along; who may not take it out is refused.
. "$(dirname "$0")/ambiente.sh"
entrar() { acceso "$1" | llamar --header 'Content-Type: application/json' --data @- "$HTTP/login" | de access_token; }
SESION=$(entrar medico)
# The same Bundle as Patient/{id}/$everything; the document, a bare number or the Patient.id name the person.
llamar --header "Authorization: Bearer $SESION" --header 'Accept: application/fhir+json' "$HTTP/paciente/CC-51999208" | de total
PDF=$(mktemp)
trap 'rm -f "$PDF"' EXIT
llamar --header "Authorization: Bearer $SESION" --output "$PDF" --write-out '%{content_type} %{size_download}\n' "$HTTP/exportar_pdf/CC-51999208"
test "$(head -c 5 "$PDF")" = '%PDF-'
llamar --request POST --header "Authorization: Bearer $SESION" "$HTTP/logout"
# Admission reads who somebody is, and exports nothing.
SESION=$(entrar admisionista)
STATUS=$(curl --silent --output /dev/null --write-out '%{http_code}' --header "Authorization: Bearer $SESION" "$HTTP/exportar_pdf/CC-51999208")
echo "as admisionista: $STATUS"
test "$STATUS" = 403
llamar --request POST --header "Authorization: Bearer $SESION" "$HTTP/logout"
