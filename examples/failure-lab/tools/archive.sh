# Works as soon as there is a file `archive.started` in the workspace.
if ! [ -e archive.started ]; then
    echo "the archive does not answer" >&2
    exit 1
fi
echo "archived" > archive.md
