#!/bin/sh
# Makes the repository of this example in a new folder: sh prepare.sh FOLDER
set -e
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: sh prepare.sh FOLDER}
mkdir "$folder"
cp -R "$here/project/." "$folder"
git -C "$folder" init -q -b main
git -C "$folder" add -A
git -C "$folder" -c user.name=Example -c user.email=example@localhost commit -q -m "Durations, with a bug"
