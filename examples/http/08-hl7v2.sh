#!/usr/bin/env bash
# An admission as HL7 v2 over HTTP: 200 with the acknowledgement; then the visit as FHIR.
. "$(dirname "$0")/ambiente.sh"
CONTROL=MSG$(date +%s)-$$
printf '%s\r' \
  "MSH|^~\\&|HIS|CLINICA|historia|historia|20260105080000-0500||ADT^A01^ADT_A01|$CONTROL|T|2.5.1||||||UNICODE UTF-8" \
  'EVN|A01|20260105080000-0500' \
  'PID|1||52999222^^^RNEC^CC||Ruiz Peña^Ana^María||19880229|F' \
  'PV1|1|I|Urgencias^^B6||||||||||||||||V0001|||||||||||||||||||||||||20260105080000-0500' \
  | llamar --header "Authorization: Bearer $TOKEN" --header 'Content-Type: application/hl7-v2' --data-binary @- "$HTTP/hl7v2" | tr '\r' '\n' | tee /dev/stderr | grep -q "^MSA|AA|$CONTROL"
fhir "$FHIR/Encounter?identifier=V0001" | ver
