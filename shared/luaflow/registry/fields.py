"""Typed reading of one entry's keys: every mistake becomes an error with its line."""

from __future__ import annotations

from typing import Any, Final

from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Invalid
from luaflow.domain.ids import check_name
from luaflow.errors import InvalidArgument
from luaflow.registry.interpolate import EnvError, EnvRegistry
from luaflow.registry.problems import Problems
from luaflow.registry.yamlfile import Document, Path

_TRUE: Final = (True, "yes", "on")
_FALSE: Final = (False, "no", "off")


class Fields:
    """The keys of one mapping of an entry; placeholders are filled when a key is read.

    A getter that meets a mistake notes it and returns the default, so that reading goes on.
    """

    def __init__(
        self,
        data: dict[str, Any],
        document: Document,
        path: Path,
        *,
        namespace: str,
        env: EnvRegistry,
        problems: Problems,
        prefix: str = "",
    ) -> None:
        self.data = data
        self.document = document
        self.path = path
        self.namespace = namespace
        self.env = env
        self.problems = problems
        self.prefix = prefix
        self._read: set[str] = set()

    def line(self, *path: str | int) -> int:
        """The line of a value below this mapping."""
        return self.document.line((*self.path, *path))

    def error(self, key: str, message: str, remedy: str) -> None:
        """Note an error at a key; the message begins with the key's full name."""
        text = f"{self.prefix}{key} {message}"
        self.problems.error(text, self.document.file, self.line(key), remedy)

    def warn(self, key: str, message: str, remedy: str) -> None:
        """Note a warning at a key."""
        text = f"{self.prefix}{key} {message}"
        self.problems.warn(text, self.document.file, self.line(key), remedy)

    def raw(self, key: str) -> Any:
        """The value as written, or None."""
        self._read.add(key)
        return self.data.get(key)

    def get(self, key: str) -> Any:
        """The value with its placeholders filled, or None."""
        return self._fill(self.raw(key), key)

    def legacy(self, key: str) -> Any:
        """The value, or that of the environment variable which the older `<key>_env` names."""
        older = f"{key}_env"
        name = self.get(older)
        if self.data.get(key) is None and isinstance(name, str):
            self.warn(older, "is the older spelling", f"write {key}: ${{env:{name}}}")
            return self._fill(f"${{env:{name}}}", older)
        return self.get(key)

    def _fill(self, value: Any, key: str) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.env.resolve(value, self.namespace)
        except EnvError as error:
            self.error(key, f"cannot be filled: {error.message}", error.remedy)
            return None

    def text(self, key: str, default: str = "") -> str:
        """A string; numbers are taken as their text."""
        return self._text(key, self.get(key), default)

    def legacy_text(self, key: str, default: str = "") -> str:
        """A string that may also be given by `<key>_env`."""
        return self._text(key, self.legacy(key), default)

    def _text(self, key: str, value: Any, default: str) -> str:
        if value is None:
            return default
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)
        self.error(key, f"must be text, got {_kind(value)}", "write a string")
        return default

    def optional(self, key: str) -> str | None:
        """A non-empty string, or None."""
        return self.text(key) or None

    def required(self, key: str, example: str) -> str:
        """A non-empty string; `example` is what the remedy shows."""
        noted = len(self.problems.errors)
        text = self.legacy_text(key)
        if not text and noted == len(self.problems.errors):
            self.error(key, "is required", f"add {key}: {example}")
        return text

    def name(self, key: str, what: str, text: str) -> str:
        """Check a namespace or queue name that was read at `key`; returns it."""
        if text:
            try:
                check_name(text, what)
            except InvalidArgument as error:
                self.error(key, f"is not acceptable: {error.message}", "choose another name")
        return text

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean; yes, no, on and off are understood."""
        value = self.get(key)
        if value is None:
            return default
        word = value.lower() if isinstance(value, str) else value
        if isinstance(word, (bool, str)) and word in _TRUE + _FALSE:
            return word in _TRUE
        self.error(key, f"must be true or false, got {value!r}", "write true or false")
        return default

    def integer(self, key: str, default: int) -> int:
        """A whole number; zero and below become the default."""
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value >= 2**31:
            self.error(key, f"must be a whole number, got {value!r}", f"write {default}, say")
            return default
        return value if value > 0 else default

    def rate(self, key: str) -> float:
        """A number a second; 0 is unlimited."""
        value = self.get(key)
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
            self.error(
                key, f"must be a number from 0 (unlimited), got {value!r}", "write 0 or more"
            )
            return 0.0
        return float(value)

    def duration(self, key: str, default_ms: int) -> int:
        """Milliseconds of a Go duration; a plain number is milliseconds."""
        value = self.get(key)
        if value is None:
            return default_ms
        try:
            return duration_ms(value, f"{self.prefix}{key}")
        except Invalid as error:
            message, _, how = error.message.partition(": ")
            remedy = how or 'write a duration, such as "10s"'
            self.problems.error(message, self.document.file, self.line(key), remedy)
            return default_ms

    def mapping(self, key: str) -> Fields:
        """The mapping below a key, empty when there is none."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            self.error(key, f"must be a mapping, got {_kind(value)}", f"write keys below {key}:")
            value = None
        return type(self)(
            value or {},
            self.document,
            (*self.path, key),
            namespace=self.namespace,
            env=self.env,
            problems=self.problems,
            prefix=f"{self.prefix}{key}.",
        )

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, empty when there is none."""
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.error(key, "must be a list of names", f"write {key}: [a, b]")
            return ()
        return tuple(str(self._fill(item, key) or "") for item in value)

    def reference(self, key: str) -> str | None:
        """An entry id; one without ':' is of this entry's namespace."""
        text = self.optional(key)
        return text and (text if ":" in text else f"{self.namespace}:{text}")

    def choice(self, key: str, words: tuple[str, ...]) -> str | None:
        """One of `words`, any case, '-' for '_'; None when absent."""
        text = self.text(key).lower().replace("-", "_")
        if text and text not in words:
            self.error(key, f"must be one of {', '.join(words)}, got {text}", f"write {words[0]}")
            return None
        return text or None

    def unknown(self, *more: str) -> None:
        """Warn about the keys that nobody has read; `more` are known without being read."""
        for key in self.data:
            if key not in self._read and key not in more:
                self.warn(key, "is not known and ignored", "check the spelling, or remove it")


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", bool: "true or false"}.get(
        type(value), type(value).__name__
    )
