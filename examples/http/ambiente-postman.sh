#!/usr/bin/env bash
# Writes the Postman environment of the running `historia dev` to stdout (it holds passwords: keep it to yourself):
#   examples/http/ambiente-postman.sh > .historia/postman_environment.json
. "$(dirname "$0")/ambiente.sh"
python3 - "$READY" <<'PYTHON'
import json, sys
ready = json.load(open(sys.argv[1]))
medico = next(login for login in ready["logins"] if login["rol"] == "medico")
values = {"http": ready["http"], "fhir": ready["fhir"], "client_id": ready["client"]["id"], "client_secret": ready["client"]["secret"], "usuario": medico["usuario"], "clave": medico["clave"]}
secret = {"client_secret", "clave"}
print(json.dumps({"name": "historia dev", "values": [{"key": k, "value": v, "type": "secret" if k in secret else "default", "enabled": True} for k, v in values.items()]}, indent=2))
PYTHON
