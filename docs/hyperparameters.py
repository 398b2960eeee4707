"""Every hyperparameter, as docs/hyperparameters.md has it, from its declaration.

`python docs/hyperparameters.py > docs/hyperparameters.md`
"""

from typing import Any

from hpo.choices import DEFAULT_SPACE
from hpo.config import TrainingConfig, toml
from hpo.space import open_space

HEAD = f"""\
# Hyperparameters

Every field of a configuration: `hpo grid NAME` or `NAME=V,V` varies it, `--set NAME=V` fixes it,
and a space file sets it in `[base]`. A space file of your own starts from the built-in defaults,
and not from those of the default space, `{DEFAULT_SPACE}`. Two more names, `layers` and `width`,
stand for `hidden` with equal layers. Made by `python docs/hyperparameters.py`.

| name | meaning | values | built-in default | in `{DEFAULT_SPACE}` |
|---|---|---|---|---|"""


def values(schema: dict[str, Any]) -> str:
    """Return the allowed values of a field from its JSON schema."""
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema.get("type") == "boolean":
        return "true, false"
    if "oneOf" in schema:
        return ", or ".join(map(values, schema["oneOf"]))
    if schema["type"] == "array":
        return f"1 to {schema['maxItems']} numbers, each {values(schema['items'])}"
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low = f"above {above}" if above is not None else schema.get("minimum", schema.get("ge"))
    high = f"below {below}" if below is not None else schema.get("maximum", schema.get("le"))
    return f"{low} to {high}"


def table() -> str:
    """Return the page."""
    base, defaults = open_space(DEFAULT_SPACE).base, TrainingConfig()
    rows = []
    for name, schema in TrainingConfig.model_json_schema()["properties"].items():
        if name == "model":  # A custom network, which has a page of its own.
            continue
        default, here = toml(getattr(defaults, name)), toml(getattr(base, name))
        changed = "" if here == default else f"`{here}`"
        rows.append(
            f"| `{name}` | {schema['description']} | {values(schema)} | `{default}` | {changed} |"
        )
    return "\n".join([HEAD, *rows])


if __name__ == "__main__":
    print(table())
