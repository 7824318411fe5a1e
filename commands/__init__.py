"""Intentions: parse, observe files, decide, append, render, publish.

The only room that writes, and the only one where anything prints or exits (`commands.cli`, nowhere else).
Importing this package loads nothing: each command's module is loaded when that command is typed.
"""
