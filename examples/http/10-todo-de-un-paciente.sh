#!/usr/bin/env bash
# Everything of a patient in one Bundle, as far as the role may see it: the doctor, then the patient herself.
. "$(dirname "$0")/ambiente.sh"
PACIENTE=$(fhir --get "$FHIR/Patient" --data-urlencode 'identifier=https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC|51999208' | de entry.0.resource.id)
# How many resources of each type a role sees.
contar() { python3 -c 'import collections, json, sys; print(*sorted(collections.Counter(e["resource"]["resourceType"] for e in json.load(sys.stdin)["entry"]).items()), sep="\n")'; }
for ROL in medico paciente; do
  echo "== $ROL"
  SESION=$(acceso $ROL | llamar --header 'Content-Type: application/json' --data @- "$HTTP/login" | de access_token)
  llamar --header "Authorization: Bearer $SESION" "$FHIR/Patient/$PACIENTE/\$everything" | contar
  llamar --request POST --header "Authorization: Bearer $SESION" "$HTTP/logout"
done
# In pages.
fhir "$FHIR/Patient/$PACIENTE/\$everything?_count=50" | de link
