"""The `vulsweb` program: `vulsweb run` starts the stack, the other commands work on its database."""

from flask.cli import FlaskGroup

from vulsweb import cli, create_app

main = FlaskGroup(create_app=create_app, add_default_commands=False, help=__doc__, name="vulsweb")
# Starts the stack that the application needs, so it comes before the application.
main.add_command(cli.run)

if __name__ == "__main__":
    main()
