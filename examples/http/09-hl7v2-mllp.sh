#!/usr/bin/env bash
# The day of admissions of examples/hl7v2, over MLLP, as today's.
. "$(dirname "$0")/ambiente.sh"
MENSAJES=$(dirname "$0")/../hl7v2
HISTORIA_READY=$READY python3 "$MENSAJES/enviar.py" --hoy "$MENSAJES"/1*.hl7 "$MENSAJES"/2*.hl7
fhir "$FHIR/Patient?identifier=1015999640" | ver
