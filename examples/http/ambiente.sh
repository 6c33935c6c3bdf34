# Where the running `historia dev` is, and a token of its client: the other scripts read this file.
# HISTORIA_READY names its ready.json when it is not ./.historia/ready.json.
set -euo pipefail
READY=${HISTORIA_READY:-.historia/ready.json}

# A value of ready.json: `valor http`, `valor client.secret`; `acceso medico` is the login of a role as JSON.
valor() { python3 -c 'import functools, json, sys; print(functools.reduce(lambda o, k: o[k], sys.argv[2].split("."), json.load(open(sys.argv[1]))))' "$READY" "$1"; }
acceso() { python3 -c 'import json, sys; print(json.dumps(next({k: l[k] for k in ("usuario", "clave")} for l in json.load(open(sys.argv[1]))["logins"] if l["rol"] == sys.argv[2])))' "$READY" "$1"; }
# A member of the JSON on stdin: `| de access_token`, `| de entry.0.resource.id`.
de() { python3 -c 'import functools, json, sys; print(functools.reduce(lambda o, k: o[int(k) if k.isdigit() else k], sys.argv[1].split("."), json.load(sys.stdin)))' "$1"; }
# The JSON on stdin, laid out; numbers keep their digits (72.50).
ver() { python3 -c 'import json, re, sys; print(re.sub("\"\\\\u0000([^\"]*)\"", r"\1", json.dumps(json.load(sys.stdin, parse_float="\0{}".format), indent=2, ensure_ascii=False)))'; }

HTTP=$(valor http)
FHIR=$(valor fhir)

# A call that must succeed.
llamar() { curl --silent --show-error --fail-with-body "$@"; }
TOKEN=$(llamar --user "$(valor client.id):$(valor client.secret)" --data grant_type=client_credentials "$HTTP/oauth/token" | de access_token)
# The same with the token of the client (role integracion).
fhir() { llamar --header "Authorization: Bearer $TOKEN" --header 'Content-Type: application/fhir+json' "$@"; }
