#!/usr/bin/env bash
# Searches in the sample: accents do not matter, either surname finds, codes and dates.
. "$(dirname "$0")/ambiente.sh"
buscar() { fhir --get "$FHIR/$1" "${@:2}"; }
buscar Patient --data-urlencode 'name=munoz' | de total
buscar Patient --data-urlencode 'family=peñaranda' --data-urlencode 'birthdate=lt2000' | ver
PACIENTE=$(buscar Patient --data-urlencode 'identifier=https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC|51999208' | de entry.0.resource.id)
# Her potassium, the newest first; numbers as they were reported.
buscar Observation --data-urlencode "patient=$PACIENTE" --data-urlencode 'code=http://loinc.org|2823-3' --data-urlencode '_sort=-date' --data-urlencode '_count=3' | ver
# Who is in the hospital now.
buscar Encounter --data-urlencode 'status=in-progress' --data-urlencode 'class=IMP' | de total
# Laboratory orders without result.
buscar ServiceRequest --data-urlencode 'status=active' | de total
