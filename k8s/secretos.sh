#!/bin/sh
# Makes what no repository may hold: the password of the database, the certificates of the nodes, and those that phones see.
# Kept in a folder that is closed to others (k8s/.secretos), because the next run needs it: password and authorities stay,
# certificates are made anew. Needs openssl; kubectl only for the cluster.
set -eu
umask 077

usage() {
  cat >&2 <<'END'
Uso: k8s/secretos.sh [opciones] NOMBRE...

NOMBRE es un nombre o una dirección IP por la que se llega al servidor (en el celular, la del equipo en la red). El primero
queda en los enlaces y en la dirección pública.

  --puerto N             puerto de esa dirección (30443)
  --carpeta DIR          dónde se guardan (k8s/.secretos)
  --solo-archivos        no toca Kubernetes
  --sin-certificados     los hace cert-manager (producción)
  --espacio N            espacio de nombres de Kubernetes (el actual)

Ejemplos:
  k8s/secretos.sh 192.168.1.20 mi-equipo.local
  k8s/secretos.sh --sin-certificados --puerto 443 --espacio historia historia.hospital.example
END
  exit 2
}

port=30443 folder=$(dirname "$0")/.secretos apply=yes certificates=yes namespace=
while [ $# -gt 0 ]; do
  case $1 in
    --puerto) port=${2:?}; shift 2 ;;
    --carpeta) folder=${2:?}; shift 2 ;;
    --espacio) namespace=${2:?}; shift 2 ;;
    --solo-archivos) apply=no; shift ;;
    --sin-certificados) certificates=no; shift ;;
    -*) usage ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || usage
for name; do
  case $name in *[!A-Za-z0-9.:-]* | '') echo "no es un nombre ni una dirección: $name" >&2; exit 2 ;; esac
done

key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$folder/$1.key"; }

# 1: file, 2: name shown. Ten years; signs certificates and nothing else.
authority() {
  [ -s "$folder/$1.crt" ] && return
  key "$1"
  openssl req -new -x509 -sha256 -days 3650 -key "$folder/$1.key" -subj "/CN=$2" -out "$folder/$1.crt" \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
}

# 1: file, 2: authority, 3: subjectAltName. 397 days: phones refuse a longer one.
leaf() {
  key "$1"
  openssl req -new -key "$folder/$1.key" -subj "/CN=historia" -out "$folder/$1.csr"
  cat >"$folder/$1.ext" <<END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=$3
END
  openssl x509 -req -sha256 -days 397 -in "$folder/$1.csr" -CA "$folder/$2.crt" -CAkey "$folder/$2.key" \
    -set_serial "0x$(openssl rand -hex 16)" -extfile "$folder/$1.ext" -out "$folder/$1.crt"
  cat "$folder/$2.crt" >>"$folder/$1.crt"
  rm "$folder/$1.csr" "$folder/$1.ext"
}

alternatives() {
  list=DNS:localhost,DNS:middleware,IP:127.0.0.1
  for name; do
    case $name in
      *:*) list=$list,IP:$name ;;
      *[!0-9.]*) list=$list,DNS:$name ;;
      *) list=$list,IP:$name ;;
    esac
  done
  echo "$list"
}

mkdir -p "$folder"
chmod 700 "$folder"
[ -s "$folder/clave" ] || printf %s "$(openssl rand -hex 24)" >"$folder/clave"
if [ "$certificates" = yes ]; then
  authority ca "historia $1"
  authority ca-nodos "historia nodes"
  leaf tls ca "$(alternatives "$@")"
  # localhost: Citus connects to its own node by it. Workers for whom there is room: a wildcard of one level is not accepted
  # by everybody.
  nodes=DNS:localhost,DNS:coordinator-0.coordinator
  for n in 0 1 2 3 4 5 6 7 8 9; do nodes=$nodes,DNS:worker-$n.worker; done
  leaf nodos ca-nodos "$nodes"
fi
case $1 in *:*) host="[$1]" ;; *) host=$1 ;; esac
[ "$port" = 443 ] && url="https://$host" || url="https://$host:$port"
cat >"$folder/historia.toml" <<END
[http]
public_url = "$url"
tls_cert = "/run/tls/tls.crt"
tls_key = "/run/tls/tls.key"
[database]
url = "postgres://historia:$(cat "$folder/clave")@coordinator-0.coordinator:5432/historia"
END
echo "listo en $folder; dirección: $url"
[ "$apply" = yes ] || exit 0

# 1: name, then FILE=PATH. Made or replaced.
secret() {
  name=$1
  shift
  for file; do set -- "$@" "--from-file=$file"; shift; done
  kubectl ${namespace:+--namespace "$namespace"} create secret generic "$name" "$@" --dry-run=client --output=yaml |
    kubectl ${namespace:+--namespace "$namespace"} apply --filename=-
}
secret historia "historia.toml=$folder/historia.toml"
secret citus-clave "clave=$folder/clave"
if [ "$certificates" = yes ]; then
  secret citus-tls "tls.crt=$folder/nodos.crt" "tls.key=$folder/nodos.key" "ca.crt=$folder/ca-nodos.crt"
  secret middleware-tls "tls.crt=$folder/tls.crt" "tls.key=$folder/tls.key" "ca.crt=$folder/ca.crt"
fi
