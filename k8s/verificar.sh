#!/bin/sh
# What must hold after an installation, asked of the running cluster. Ends with 0 when everything does.
set -u

usage() {
  cat >&2 <<'END'
Uso: k8s/verificar.sh [opciones] [PACIENTE]

PACIENTE es un documento (CC-79999341, de la muestra) o un Patient.id.

  --muestra       si no está, carga el directorio y ese paciente de la muestra (solo en instalaciones de prueba)
  --url URL       dirección del servidor (la de k8s/.secretos/historia.toml)
  --ca ARCHIVO    autoridad de su certificado (k8s/.secretos/ca.crt)
  --espacio N     espacio de nombres de Kubernetes (el actual)

Crea la cuenta `verificacion` (médico) y la deshabilita al terminar. Necesita kubectl y curl.
END
  exit 2
}

here=$(dirname "$0")
sample=no url= ca=$here/.secretos/ca.crt namespace=
while [ $# -gt 0 ]; do
  case $1 in
    --muestra) sample=yes; shift ;;
    --url) url=${2:?}; shift 2 ;;
    --ca) ca=${2:?}; shift 2 ;;
    --espacio) namespace=${2:?}; shift 2 ;;
    -*) usage ;;
    *) break ;;
  esac
done
patient=${1:-CC-79999341}
[ -n "$url" ] || url=$(sed -n 's/^public_url = "\(.*\)"$/\1/p' "$here/.secretos/historia.toml" 2>/dev/null)
[ -n "$url" ] || { echo "falta --url" >&2; exit 2; }

folder=$(mktemp -d)
failed=0
kube() { kubectl ${namespace:+--namespace "$namespace"} "$@"; }
historia() { kube exec --stdin deployment/middleware -- /usr/local/bin/historia "$@"; }
web() { curl --silent --show-error --max-time 30 --cacert "$ca" "$@"; }
status() { web --output "$folder/answer" --write-out '%{http_code}' "$@"; }
# 1: what, 2: expected, 3: found.
check() {
  if [ "$2" = "$3" ]; then
    echo "bien  $1"
  else
    echo "MAL   $1: se esperaba $2, hay ${3:-nada}"
    failed=$((failed + 1))
  fi
}
finish() {
  historia user disable --usuario verificacion >/dev/null 2>&1
  rm -rf "$folder"
}
trap finish EXIT

echo "kubectl get pods"
kube get pods | tee "$folder/pods"
for pod in coordinator-0 worker-0 worker-1; do
  check "$pod está listo" 1/1 "$(awk -v pod="$pod" '$1 == pod { print $2 }' "$folder/pods")"
done
check "middleware está listo" 1/1 "$(awk '/^middleware-/ && $2 == "1/1" { print $2; exit }' "$folder/pods")"

password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$password" >"$folder/password"
add() { historia user add --rol medico --usuario verificacion --documento CC-000000 --nombre Verificación --clave-stdin; }
reset() { historia user reset --usuario verificacion --clave-stdin; }
reset <"$folder/password" >/dev/null 2>&1 || add <"$folder/password" >/dev/null
printf '{"usuario":"verificacion","clave":"%s"}' "$password" >"$folder/login"
token=$(web --header 'Content-Type: application/json' --data "@$folder/login" "$url/login" |
  sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p')
check "la cuenta entra" si "$([ -n "$token" ] && echo si || echo no)"
# The token goes by a file: arguments are seen by everybody on the machine.
printf 'header = "Authorization: Bearer %s"\n' "$token" >"$folder/token"

if [ "$sample" = yes ] && [ "$(status --config "$folder/token" "$url/paciente/$patient")" = 404 ]; then
  for file in 00-directorio 02-munoz-pedraza; do
    historia import - <"$here/../examples/fhir/muestra/$file.json" >/dev/null
    check "carga $file" 0 $?
  done
fi

echo 'SELECT * FROM usuario;'
kube exec coordinator-0 -- psql --username historia --dbname historia --command 'SELECT * FROM usuario;' | tee "$folder/sql"
check "SELECT * FROM usuario muestra la cuenta" si "$(grep -q verificacion "$folder/sql" && echo si || echo no)"

check "/livez" 200 "$(status "$url/livez")"
check "/readyz" 200 "$(status "$url/readyz")"
check "/paciente/$patient sin token" 401 "$(status "$url/paciente/$patient")"
check "/paciente/$patient con un token falso" 401 "$(status --header 'Authorization: Bearer falso' "$url/paciente/$patient")"
check "/paciente/$patient con token" 200 "$(status --config "$folder/token" --header 'Accept: application/fhir+json' "$url/paciente/$patient")"
check "es el Bundle del paciente" si "$(grep -q '"resourceType":"Bundle"' "$folder/answer" && echo si || echo no)"
check "/exportar_pdf/$patient sin token" 401 "$(status "$url/exportar_pdf/$patient")"
check "/exportar_pdf/$patient con token" 200 "$(status --config "$folder/token" "$url/exportar_pdf/$patient")"
check "es un PDF" %PDF- "$(head -c 5 "$folder/answer")"

[ "$failed" -eq 0 ] && echo "todo bien" || echo "$failed comprobaciones fallaron"
[ "$failed" -eq 0 ]
