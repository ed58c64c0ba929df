"""JSON Web Tokens: signing is computed here, verifying is left to a library."""

from __future__ import annotations

import base64
import hmac
import warnings
from typing import Any, Final

import orjson

from luaflow.domain.failure import Failure
from luaflow.lua.services.libraries import library

HASHES: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
VERIFIED: Final = (*HASHES, "RS256")
LONGEST_KEY: Final = 4096
"""Bytes of a private key in PEM: checking one of 16,384 bits keeps the worker busy for long."""
# Only what has to do with time: who a token is for is for the code to judge.
_CHECKS: Final = {
    "verify_aud": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_jti": False,
    "verify_sub": False,
}


def encode(claims: bytes, header: bytes, key: bytes, algorithm: bytes) -> str | Failure:
    """The signed token of claims and extra header fields, both JSON objects."""
    name = algorithm.decode(errors="replace")
    if name not in VERIFIED:
        name = "HS256"
    fields = {"alg": name, "typ": "JWT", **orjson.loads(header)}
    head = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    body = _base64url(head) + b"." + _base64url(claims)
    if name == "RS256":
        signature = _sign(key, body)
        if isinstance(signature, Failure):
            return signature
    else:
        signature = hmac.new(key, body, HASHES[name]).digest()
    return (body + b"." + _base64url(signature)).decode()


def _sign(key: bytes, body: bytes) -> bytes | Failure:
    serialization = library("cryptography.hazmat.primitives.serialization", "crypto", "crypto")
    asymmetric = library("cryptography.hazmat.primitives.asymmetric", "crypto", "crypto")
    padding = library(f"{asymmetric.__name__}.padding", "crypto", "crypto")
    rsa = library(f"{asymmetric.__name__}.rsa", "crypto", "crypto")
    hashes = library("cryptography.hazmat.primitives.hashes", "crypto", "crypto")
    unknown = library("cryptography.exceptions", "crypto", "crypto").UnsupportedAlgorithm
    if len(key) > LONGEST_KEY:
        text = f"jwt.encode: the key has more than {LONGEST_KEY} bytes: use RSA of up to 4096 bits"
        return Failure("Internal", text, retryable=False)
    try:
        private = serialization.load_pem_private_key(key, None)
        if isinstance(private, rsa.RSAPrivateKey):
            signature: bytes = private.sign(body, padding.PKCS1v15(), hashes.SHA256())
            return signature
    except (ValueError, TypeError, unknown):
        pass
    return Failure("Internal", "jwt.encode: RS256 needs an RSA private key in PEM", retryable=False)


def verify(token: bytes, key: bytes, algorithm: bytes, require_exp: bool) -> Any:
    """The claims of a token that holds now; a Failure of kind Internal for any other."""
    jwt = library("jwt", "crypto", "crypto")
    library("cryptography", "crypto", "crypto")
    name = algorithm.decode(errors="replace")
    if name not in VERIFIED:
        return _refused(f"the algorithm {name!r} is not one of {', '.join(VERIFIED)}")
    options: dict[str, Any] = {**_CHECKS, "require": ["exp"] if require_exp else []}
    try:
        with warnings.catch_warnings():
            # How long a secret must be is the issuer's choice.
            warnings.simplefilter("ignore")
            return jwt.decode(token, key, algorithms=[name], options=options)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        return _refused(str(error))


def _refused(why: str) -> Failure:
    return Failure("Internal", f"jwt.verify: {why}", retryable=False)


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
