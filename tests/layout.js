// What the tests of reports ask of a page, evaluated from outside of it. Each gives a list, empty where all is well.

function overlaps() {
  return [...document.querySelectorAll('svg.chart')].flatMap(chart => {
    const words = [...chart.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    return words.flatMap(([said, a], at) => words.slice(at + 1)
      .filter(([_, b]) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
      .map(([other]) => said + ' | ' + other));
  });
}

function outside() {
  return [...document.querySelectorAll('body *')].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width && !one.closest('.icon') && (box.left < -1 || box.right > innerWidth + 1);
  }).map(one => one.tagName + ' ' + one.textContent.slice(0, 40));
}

function empty() {
  return [...document.querySelectorAll('svg, .part, .limit, .letter, .label, dt, td, th[scope=col], .tag')]
    .filter(one => !one.closest('details:not([open])') && !(one.matches('tfoot td') && !one.textContent))
    .filter(one => {
      const box = one.getBoundingClientRect();
      return !box.height || !(box.width || one.tagName == 'line');
    })
    .map(one => one.outerHTML.slice(0, 90));
}

// Of all that is said: the words, their colour, the colour behind them, and their class.
function colours() {
  const all = 'h1, h2, p, dt, dd, td, th, .tag, code, figcaption, summary, .key, .letter, .label';
  return [...document.querySelectorAll(all)].filter(one => one.textContent.trim()).map(one => {
    let under = one, ground = 'rgba(0, 0, 0, 0)';
    while (under && ground == 'rgba(0, 0, 0, 0)') {
      ground = getComputedStyle(under).backgroundColor;
      under = under.parentElement;
    }
    const style = getComputedStyle(one), ink = one.matches('text') ? style.fill : style.color;
    return [one.textContent.slice(0, 30), ink, ground, one.getAttribute('class') || ''];
  });
}
