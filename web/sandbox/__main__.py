"""`python -m web.sandbox`: run the stand-in for Google."""

from pathlib import Path

import click
from pydantic import ValidationError

from web.sandbox.serving import serve
from web.sandbox.specs import Config


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes any free port.")
@click.option("--config", "config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON.")
@click.option("--until-stdin-closes", is_flag=True, help="End at the end of standard input.")
def main(port: int, config_file: Path | None, *, until_stdin_closes: bool) -> None:
    """A local stand-in for Google: OAuth 2.0 and Calendar v3 on 127.0.0.1, everything in memory."""
    try:
        config = Config.model_validate_json(config_file.read_bytes()) if config_file else Config()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise click.UsageError(f"{config_file}: {where}: {first['msg']}") from error
    serve(config, port, until_stdin_closes=until_stdin_closes)


if __name__ == "__main__":
    main()
