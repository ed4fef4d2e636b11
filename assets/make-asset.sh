#!/bin/bash
# Makes the demo's title anew: a synthetic film in three video rates and one sound track, as DASH with 2 s segments.
# Every key frame brings its parameter sets, so that a player that leaves the choice to the edge can decode whatever comes next.
# Needs ffmpeg (Debian: apt-get install ffmpeg). Usage: assets/make-asset.sh [DIRECTORY [FACTOR]]; FACTOR: so many times the rate.
set -euo pipefail
out=${1:-"$(dirname "$0")/netcinema"}
factor=${2:-1}
seconds=32
mkdir -p "$out"
rm -f "$out"/*.m4s "$out"/manifest.mpd
ffmpeg -y -nostdin -hide_banner -loglevel error -bitexact \
    -f lavfi -i "testsrc2=size=640x360:rate=24" -f lavfi -i "sine=frequency=330:beep_factor=4:sample_rate=48000" -t "$seconds" \
    -filter_complex "[0:v]split=3[a][b][c];[a]scale=256:144[low];[b]scale=426:240[mid];[c]null[high]" \
    -map "[low]" -map "[mid]" -map "[high]" -map 1:a \
    -c:v libx264 -bsf:v dump_extra=freq=keyframe -preset veryfast -profile:v baseline -pix_fmt yuv420p -threads 1 \
    -g 48 -keyint_min 48 -sc_threshold 0 \
    -b:v:0 $((70 * factor))k -maxrate:v:0 $((80 * factor))k -bufsize:v:0 $((140 * factor))k \
    -b:v:1 $((170 * factor))k -maxrate:v:1 $((190 * factor))k -bufsize:v:1 $((340 * factor))k \
    -b:v:2 $((350 * factor))k -maxrate:v:2 $((390 * factor))k -bufsize:v:2 $((700 * factor))k \
    -c:a aac -b:a 32k -ac 1 \
    -f dash -seg_duration 2 -use_template 1 -use_timeline 0 \
    -adaptation_sets "id=0,streams=v id=1,streams=a" \
    -init_seg_name 'init-$RepresentationID$.m4s' -media_seg_name 'seg-$RepresentationID$-$Number%05d$.m4s' \
    "$out/manifest.mpd"
du -sh "$out"
