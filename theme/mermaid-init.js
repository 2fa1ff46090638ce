// Draws the Mermaid diagrams of a page, and draws them anew when the reader changes the theme.
// The blocks come from mdbook-mermaid; without JavaScript they stay what they are, readable text.
(() => {
  'use strict';

  const diagrams = Array.from(document.querySelectorAll('pre.mermaid'));
  if (diagrams.length === 0 || typeof mermaid === 'undefined') return;

  const root = document.documentElement;
  const sources = new Map(diagrams.map((diagram) => [diagram, diagram.textContent]));
  const font = '"Open Sans", sans-serif';
  const colours = {
    light: { primaryColor: '#e9f1fa', primaryBorderColor: '#7ba7d6', text: '#1f2328', line: '#57606a', note: '#fff6dc', number: '#ffffff' },
    dark: { primaryColor: '#242c40', primaryBorderColor: '#5b84b8', text: '#e3e6ee', line: '#9aa5ba', note: '#3a3524', number: '#161923' },
  };
  const isDark = () => ['ayu', 'navy', 'coal'].some((theme) => root.classList.contains(theme));
  let drawnDark;

  function draw() {
    const dark = isDark();
    if (dark === drawnDark) return;
    drawnDark = dark;
    for (const [diagram, source] of sources) {
      diagram.removeAttribute('data-processed');
      diagram.textContent = source;
    }
    const { text, line, note, number, ...fill } = dark ? colours.dark : colours.light;
    mermaid.initialize({
      startOnLoad: false,
      theme: 'base',
      fontFamily: font,
      sequence: { mirrorActors: false, useMaxWidth: true },
      themeVariables: {
        ...fill,
        darkMode: dark,
        background: getComputedStyle(root).backgroundColor,
        fontFamily: font,
        primaryTextColor: text,
        textColor: text,
        lineColor: line,
        signalColor: line,
        signalTextColor: text,
        actorLineColor: line,
        sequenceNumberColor: number,
        loopTextColor: text,
        labelTextColor: text,
        noteBkgColor: note,
        noteTextColor: text,
        noteBorderColor: line,
      },
    });
    // A diagram that cannot be drawn stays readable; the console says why.
    mermaid.run({ nodes: diagrams }).catch((error) => console.error(error));
  }

  // Mermaid measures its labels, so the book's font has to be there.
  document.fonts.ready.then(draw);
  new MutationObserver(draw).observe(root, { attributeFilter: ['class'] });
})();
