"""Configuration: one YAML file per environment, frozen pydantic models, unknown keys refused, one-line errors.

A daemon reads the shared part and its own section; the other sections are only checked for their name. Every error
names the file, the dotted path and what to do. Values never come from defaults by accident: a default is declared in
the model or the key is required. Secrets are not here (see `credentials`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tradebot.core.errors import ConfigError
from tradebot.runtime.reload import Reloadable

MAX_CONFIG_BYTES = 1 << 20
SECTION_NAMES = frozenset(
    {"marketdata", "engine", "riskd", "execd", "recorder", "eyes", "simexchange", "console", "backtest", "cli"}
)
"""Top-level sections that belong to one program each."""


class Mode(StrEnum):
    """Where market data and orders go. Decided once, in wiring; it is also the environment named in every approval."""

    DEMO = "demo"
    PAPER = "paper"
    TESTNET = "testnet"
    REAL = "real"
    BACKTEST = "backtest"


class ConfigModel(BaseModel):
    """Base of every section: frozen, unknown keys refused, defaults validated."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


class LogConfig(ConfigModel):
    """Where log lines go."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Reloadable()] = "info"
    to: Literal["stderr", "file"] = "stderr"
    """`file` writes `<state>/logs/<daemon>.log`."""
    max_file_mib: Annotated[int, Field(ge=1, le=1024)] = 32
    """The file is rotated at this size."""
    kept_files: Annotated[int, Field(ge=1, le=100)] = 5


Port = Annotated[int, Field(ge=0, le=65535)]


class MetricsConfig(ConfigModel):
    """Prometheus endpoints, one per daemon."""

    host: str = "127.0.0.1"
    ports: dict[str, Port | Literal["off"]] = {}
    """Daemon -> port; 0 takes any free port (logged at start). Absent or off: no endpoint."""


class TransportConfig(ConfigModel):
    """How daemons reach each other."""

    kind: Literal["uds", "tcp"] = "uds"
    run_dir: Path | None = None
    """Folder of the Unix sockets, one per daemon and caller role. Absent: `<state>/run`."""
    groups: dict[str, str] = {}
    """Caller role -> Unix group that may use its sockets; absent: this process's own group."""
    addresses: dict[str, str] = {}
    """For tcp: daemon, or `<daemon>.stop`, -> host:port that clients dial."""
    listen: dict[str, str] = {}
    """For tcp: daemon, or `<daemon>.stop`, -> host:port to bind where it differs from the dialled one."""
    tls_dir: Path | None = None
    """For tcp, required: ca.pem, <role>.pem and <role>.key as `tradebot certs init` writes them."""
    reflection: bool | None = None
    """Absent: on for operator roles in demo, paper and testnet, off in real."""


class JournalConfig(ConfigModel):
    """Write-ahead journal of one daemon; daemons that have one put this into their section as `journal`."""

    segment_mib: Annotated[int, Field(ge=1, le=1024)] = 64
    """Size of a preallocated segment file."""

    @property
    def segment_bytes(self) -> int:
        return self.segment_mib << 20


class SecretsConfig(ConfigModel):
    """Where secrets are read; see `tradebot.runtime.credentials`."""

    credentials_dir: Path | None = None
    """Folder with one file per secret. $CREDENTIALS_DIRECTORY wins when set. Absent: `<state>/credentials`."""


class VenueConfig(ConfigModel):
    """One exchange account and where to reach it."""

    account: str = "main"
    """Our name of the account."""
    rest_url: str
    market_ws_url: str
    trade_ws_url: str
    api_key_name: str = ""
    """Name of the secret, not its value. Empty: public data only."""
    api_secret_name: str = ""
    read_key_name: str = ""
    """Name of the secret of a second key that may only read: the eyes' own. Empty: nobody but execd reads here."""
    read_secret_name: str = ""
    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    """Venue symbols, e.g. BTCUSDT."""

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Names of all its secrets."""
        names = (self.api_key_name, self.api_secret_name, self.read_key_name, self.read_secret_name)
        return tuple(name for name in names if name)


class CommonConfig(ConfigModel):
    """The part of the file that every program shares."""

    mode: Mode
    state_dir: Path = Path("state")
    """Root of everything this system writes; the --state flag replaces it."""
    dry_run: bool = False
    """Stop each order at the wire and journal it."""
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    transport: TransportConfig = TransportConfig()
    secrets: SecretsConfig = SecretsConfig()
    venues: dict[str, VenueConfig] = {}
    """Venue folder name -> account and endpoints."""

    @property
    def run_dir(self) -> Path:
        """Folder of the Unix sockets."""
        return self.transport.run_dir or self.state_dir / "run"

    @property
    def keys_dir(self) -> Path:
        return self.state_dir / "keys"

    @property
    def credentials_dir(self) -> Path:
        return self.secrets.credentials_dir or self.state_dir / "credentials"

    def journal_dir(self, daemon: str) -> Path:
        return self.state_dir / "journal" / daemon

    def log_file(self, daemon: str) -> Path | None:
        """None: standard error."""
        return self.state_dir / "logs" / f"{daemon}.log" if self.log.to == "file" else None


SectionT = TypeVar("SectionT", bound=ConfigModel)


@dataclass(frozen=True, slots=True)
class LoadedConfig(Generic[SectionT]):
    """What one program got from its file."""

    path: Path
    common: CommonConfig
    section: SectionT
    """The program's own section."""

    def redacted(self) -> dict[str, Any]:
        """Return the effective configuration as plain values for the start-up log line; secrets show as stars."""
        return {
            "path": str(self.path),
            **self.common.model_dump(mode="json"),
            "section": self.section.model_dump(mode="json"),
        }


def load_config(
    path: Path,
    section_name: str,
    section_model: type[SectionT],
    overrides: Sequence[str] = (),
    state_dir: Path | None = None,
) -> LoadedConfig[SectionT]:
    """Read one environment file for one program.

    Args:
        path: YAML file.
        section_name: The program's own top-level section; may be absent when every key has a default.
        section_model: Model of that section.
        overrides: `dotted.path=value` items that replace values of the file, values parsed as YAML.
        state_dir: Replaces `state_dir` of the file.

    Raises:
        ConfigError: One line naming file, key and fix.
    """
    tree = read_yaml(path)
    for override in overrides:
        _apply_override(tree, override, path)
    if state_dir is not None:
        tree["state_dir"] = str(state_dir)
    shared = {key: value for key, value in tree.items() if key not in SECTION_NAMES}
    common = parse_section(path, "", shared, CommonConfig, also_known=SECTION_NAMES)
    section = parse_section(path, section_name, tree.get(section_name) or {}, section_model)
    return LoadedConfig(path, common, section)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; ConfigError with line and column when it is not one."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes; this is not a configuration file")
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({(exc.strerror or '').lower()}): check the path") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not UTF-8 text at byte {exc.start}") from exc
    return parse_yaml(path, text)


def parse_yaml(path: Path, text: str) -> dict[str, Any]:
    """Return the mapping in a YAML text; `path` is for messages."""
    try:
        tree = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}: bad YAML{where}: {exc.problem or exc.context}: fix the file") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: bad YAML: {' '.join(str(exc).split())}: fix the file") from exc
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of sections at the top, found {type(tree).__name__}")
    return tree


def parse_section(
    path: Path, prefix: str, tree: object, model: type[SectionT], also_known: frozenset[str] = frozenset()
) -> SectionT:
    """Validate one mapping against its model; every mistake becomes one ConfigError line naming file, key and fix."""
    try:
        return model.model_validate(tree)
    except ValidationError as exc:
        problems = [_explain(error, prefix, model, also_known) for error in exc.errors(include_url=False)]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(f"{path}: {problems[0]}{more}") from exc


def _explain(error: Any, prefix: str, model: type[BaseModel], also_known: frozenset[str]) -> str:
    location: tuple[int | str, ...] = error["loc"]
    dotted = ".".join(str(part) for part in ((prefix, *location) if prefix else location)) or "top level"
    match error["type"]:
        case "extra_forbidden":
            known = _known_keys(model, location[:-1]) | (also_known if len(location) == 1 else frozenset())
            return f"{dotted}: unknown key; {_suggest(str(location[-1]), known)}"
        case "missing":
            return f"{dotted}: required key is missing: add it"
        case _:
            shown = (
                "" if isinstance(error["input"], (dict, list)) or _is_secret(dotted) else f", not {error['input']!r}"
            )
            return f"{dotted}: {_lower_first(error['msg'])}{shown}"


def _suggest(word: str, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known keys: {', '.join(sorted(known))}" if known else "no keys are allowed here"


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> frozenset[str]:
    """Return the keys of the model at `location`; follows nested models through containers, optionals and unions."""
    models = [model]
    for part in location:
        fields = [candidate.model_fields[part] for candidate in models if part in candidate.model_fields]
        if fields:
            models = [found for field in fields for found in _models_in(field.annotation)]
        elif not isinstance(
            part, int
        ):  # a dictionary key, or pydantic's name of a union member: the models stay the same
            models = [candidate for candidate in models if candidate.__name__ == part] or models
    return frozenset(name for candidate in models for name in candidate.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


def _apply_override(tree: dict[str, Any], override: str, path: Path) -> None:
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"override {override!r}: write it as section.key=value")
    *parents, last = dotted.split(".")
    node: Any = tree
    for parent in parents:
        node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if node is None:
            break
    if not isinstance(node, dict):
        raise ConfigError(f"override {override!r}: {'.'.join(parents)} is not a section in {path}")
    try:
        node[last] = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as exc:
        raise ConfigError(f"override {override!r}: the value is not valid YAML") from exc


def _is_secret(dotted: str) -> bool:
    return any(word in dotted for word in ("secret", "password", "api_key", "token"))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice: the last one would win in silence."""


def _no_duplicate_keys(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key = str(key_node.value)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=deep)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _no_duplicate_keys)
