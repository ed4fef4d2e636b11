'use strict';
// What both players have in common: everything that happens is written down in `seen`, for the test to judge.

const video = document.getElementById('video');
const seen = { errors: [], lost: [], stalls: [], heights: [], from: [], asked: [], ended: false, started: false };
window.seen = seen;

const ahead = () => {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= currentTime + 0.1 && buffered.end(i) > currentTime) return buffered.end(i) - currentTime;
  }
  return 0;
};
video.addEventListener('playing', () => { seen.started = true; });
// A stall: it played, it is not over, and there is nothing to play. A decoder that is late on a busy machine is none.
video.addEventListener('waiting', () => {
  if (seen.started && !video.seeking && !video.ended && ahead() < 0.25 && video.duration - video.currentTime > 0.5) {
    seen.stalls.push({ at: video.currentTime, ahead: ahead(), wall: Date.now() });
  }
});
video.addEventListener('resize', () => seen.heights.push(video.videoHeight));
video.addEventListener('error', () => seen.errors.push(`decode: ${video.error?.code} ${video.error?.message}`));
video.addEventListener('ended', () => { seen.ended = true; });
window.addEventListener('error', event => seen.errors.push(`script: ${event.message}`));

// Which cluster gave what, in order.
const note = url => {
  const { hostname, pathname, searchParams } = new URL(url);
  if (!pathname.endsWith('.m4s')) return;
  seen.from.push(hostname.split('.')[0]);
  seen.asked.push({ path: pathname, cmcd: searchParams.get('CMCD') ?? '' });
};

const manifest = new URLSearchParams(location.search).get('manifest');
const players = {
  async dashjs() {
    const player = dashjs.MediaPlayer().create();
    player.updateSettings({ streaming: {
      buffer: { bufferTimeDefault: 8, bufferTimeAtTopQuality: 8, bufferTimeAtTopQualityLongForm: 8 },
      // What comes this fast is not from a cache of the browser here.
      cacheLoadThresholds: { video: 0, audio: 0 },
      cmcd: { enabled: true, sid: 'session-dashjs', mode: 'query' },
    } });
    player.on(dashjs.MediaPlayer.events.ERROR, ({ error }) => {
      // That one source of several does not answer is told as an error; it goes on with another.
      const isLost = error.code === dashjs.MediaPlayer.errors.DOWNLOAD_ERROR_ID_CONTENT_CODE;
      (isLost ? seen.lost : seen.errors).push(`player: ${error.code} ${error.message}`);
    });
    player.on(dashjs.MediaPlayer.events.FRAGMENT_LOADING_COMPLETED, ({ request, error }) => {
      if (!error && request?.url) note(request.url);
    });
    player.initialize(video, manifest, true);
  },
  async shaka() {
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    await player.attach(video);
    player.configure({ streaming: { bufferingGoal: 8 }, cmcd: { enabled: true, sessionId: 'session-shaka', useHeaders: false } });
    player.addEventListener('error', ({ detail }) => seen.errors.push(`player: ${detail.code} ${detail.message}`));
    player.getNetworkingEngine().registerResponseFilter((_, response) => note(response.uri));
    await player.load(manifest);
    await video.play();
  },
};
players[new URLSearchParams(location.search).get('player')]().catch(error => seen.errors.push(`start: ${error.code ?? ''} ${error.message}`));
