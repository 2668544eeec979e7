"""Makes signatures.pem: one certificate for each signature algorithm, by an implementation that is not ours.

    python3 -m pip install cryptography && python3 tests/data/signatures.py > tests/data/signatures.pem

The common name of a leaf is the name of its signature algorithm. The keys are thrown away.
"""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

SHA2 = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
LEAF_KEY = ec.generate_private_key(ec.SECP256R1()).public_key()


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, issuer, public_key, key, hash, is_ca, **options):
    builder = x509.CertificateBuilder(
        issuer_name=name(issuer),
        subject_name=name(subject),
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=datetime(2020, 1, 1),
        not_valid_after=datetime(9999, 12, 31, 23, 59, 59),
    )
    builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    return builder.sign(key, hash, **options).public_bytes(Encoding.PEM).decode()


def family(ca, key, leaves):
    print(certificate(ca, ca, key.public_key(), key, leaves[0][1], True), end="")
    for subject, hash, *options in leaves:
        padded = {"rsa_padding": options[0]} if options else {}
        print(certificate(subject, ca, LEAF_KEY, key, hash, False, **padded), end="")


def pss(hash, salt):
    return padding.PSS(padding.MGF1(hash), salt)


ecdsa = [(f"ecdsa-with-{hash.name.upper()}", hash) for hash in SHA2]
for curve in [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]:
    family(f"CA {curve.name}", ec.generate_private_key(curve), ecdsa)
rsa_leaves = [(f"{hash.name}WithRSAEncryption", hash) for hash in SHA2]
rsa_leaves += [(f"rsassaPss with {hash.name.upper()}", hash, pss(hash, hash.digest_size)) for hash in SHA2]
rsa_leaves += [("rsassaPss with unusual parameters", SHA2[0], pss(SHA2[0], 20))]
family("CA RSA", rsa.generate_private_key(65537, 2048), rsa_leaves)
family("CA DSA", dsa.generate_private_key(2048), [("dsa_with_SHA256", SHA2[0])])
family("CA Ed25519", ed25519.Ed25519PrivateKey.generate(), [("Ed25519 (1.3.101.112)", None)])
k1 = ec.generate_private_key(ec.SECP256K1())
family("CA secp256k1", k1, ecdsa[:1] + [("ecdsa-with-SHA224 (1.2.840.10045.4.3.1)", hashes.SHA224())])
