"""The page of the sample app."""

import html
import platform

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Hello from Python</title>
<style>
  body {{ font: 18px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem; color: #1c2733 }}
  code {{ background: #eef2f6; padding: .1em .4em; border-radius: .3em }}
</style>
<h1>Hello from Python {python}</h1>
<p>Commit <code>{commit}</code>, release <code>{release}</code>, served by <code>{instance}</code>.</p>
</html>
"""


def page(version: dict[str, str]) -> str:
    shown = {name: html.escape(value or "unknown") for name, value in version.items()}
    return PAGE.format(
        python=platform.python_version(),
        commit=shown["commit"][:12],
        release=shown["release"],
        instance=shown["instance"],
    )
