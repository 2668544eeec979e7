#!/bin/sh
# Makes container.p7b and v1_root.pem with OpenSSL, which writes what no crate used here does. The keys are thrown away.
#     sh tests/data/openssl.sh
set -eu
cd "$(dirname "$0")"
keys=$(mktemp -d)
trap 'rm -r "$keys"' EXIT

# A PKCS#7 container of one certificate.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$keys/key" -days 20000 \
    -subj "/CN=Container" -out "$keys/container.pem"
openssl crl2pkcs7 -nocrl -certfile "$keys/container.pem" -outform DER -out container.p7b

# A root of X.509 version 1, which cannot say that it is a CA, and a device under it.
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$keys/root.key" \
    -subj "/O=Plant/CN=Version 1 Root" -out "$keys/root.csr"
openssl x509 -req -in "$keys/root.csr" -signkey "$keys/root.key" -days 20000 -out "$keys/root.pem"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$keys/device.key" \
    -subj "/CN=device" -out "$keys/device.csr"
openssl x509 -req -in "$keys/device.csr" -CA "$keys/root.pem" -CAkey "$keys/root.key" -CAcreateserial -days 20000 \
    -out "$keys/device.pem"
cat "$keys/root.pem" "$keys/device.pem" > v1_root.pem
