// Makes tabs of a listing's panels, folds its code with a button that says so, and keeps the reader's
// choice of stack for the page, for all pages and in the address. Works on the HTML of the crate `listings`.
(() => {
  'use strict';

  const KEY = 'book-stack';
  const PARAMETER = 'stack';
  const figures = Array.from(document.querySelectorAll('figure.listing:not(.capture)'));
  if (figures.length === 0) return;

  // --- The choice ---------------------------------------------------------------------------------

  // A reader may have forbidden storage; then the choice lasts for the page.
  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function remember(name) {
    try {
      localStorage.setItem(KEY, name);
    } catch {
      // The page still works.
    }
    const address = new URL(location.href);
    address.searchParams.set(PARAMETER, name);
    history.replaceState(history.state, '', address);
  }

  // --- Tabs ---------------------------------------------------------------------------------------

  /** One entry a figure with tabs: shows the panel that fits a choice best. */
  const tabbed = [];

  function makeTabs(figure, number) {
    const panels = Array.from(figure.querySelectorAll(':scope > .listing-panel'));
    if (panels.length < 2) return;

    const caption = figure.querySelector('.listing-title');
    caption.id ||= `${figure.id}-title`;
    const list = document.createElement('div');
    list.className = 'listing-tabs';
    list.setAttribute('role', 'tablist');
    list.setAttribute('aria-labelledby', caption.id);

    const tabs = panels.map((panel) => {
      const tab = document.createElement('button');
      tab.type = 'button';
      tab.textContent = panel.dataset.title;
      tab.id = `listing-tab-${number}-${panel.dataset.name}`;
      tab.setAttribute('role', 'tab');
      panel.id = `listing-panel-${number}-${panel.dataset.name}`;
      tab.setAttribute('aria-controls', panel.id);
      panel.setAttribute('role', 'tabpanel');
      panel.setAttribute('aria-labelledby', tab.id);
      panel.tabIndex = 0;
      list.append(tab);
      return tab;
    });

    const select = (chosen) => {
      tabs.forEach((tab, at) => {
        tab.setAttribute('aria-selected', String(at === chosen));
        tab.tabIndex = at === chosen ? 0 : -1;
        panels[at].hidden = at !== chosen;
      });
    };

    const choose = (at) => {
      // Panels above differ in height too: keep the tab that was used where it is on the screen.
      const before = tabs[at].getBoundingClientRect().top;
      remember(panels[at].dataset.name);
      showEverywhere(panels[at].dataset.name);
      window.scrollBy({ top: tabs[at].getBoundingClientRect().top - before, behavior: 'instant' });
      tabs[at].scrollIntoView({ block: 'nearest', inline: 'nearest' });
    };

    list.addEventListener('click', (event) => {
      const at = tabs.indexOf(event.target.closest('button'));
      if (at >= 0) choose(at);
    });
    list.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
      const rtl = getComputedStyle(list).direction === 'rtl' ? -1 : 1;
      const at = tabs.indexOf(document.activeElement);
      const target = {
        ArrowRight: (at + rtl + tabs.length) % tabs.length,
        ArrowLeft: (at - rtl + tabs.length) % tabs.length,
        Home: 0,
        End: tabs.length - 1,
      }[event.key];
      if (at < 0 || target === undefined) return;
      // mdBook turns pages with the same keys.
      event.preventDefault();
      event.stopPropagation();
      tabs[target].focus({ preventScroll: true });
      choose(target);
    });

    caption.after(list);
    figure.classList.add('has-tabs');
    tabbed.push((name) => {
      const exact = panels.findIndex((panel) => panel.dataset.name === name);
      // Another variant of the chosen stack is nearer than another stack.
      const near = panels.findIndex(
        (panel) => name === panel.dataset.stack || name.startsWith(`${panel.dataset.stack}-`),
      );
      select(Math.max(exact >= 0 ? exact : near, 0));
    });
  }

  function showEverywhere(name) {
    for (const show of tabbed) show(name);
  }

  // --- Folding ------------------------------------------------------------------------------------

  function makeFold(panel) {
    const code = panel.querySelector(':scope > pre > code');
    // mdBook made an eye for a block with hidden lines; this button presses it.
    const eye = panel.querySelector(':scope > pre > .buttons button[title="Show hidden lines"]');
    if (!code || !eye) return false;

    const hidden = Array.from(code.querySelectorAll('.boring'), (line) => line.textContent).join('');
    const count = hidden.split('\n').length - (hidden.endsWith('\n') ? 1 : 0);
    const fold = document.createElement('button');
    fold.type = 'button';
    fold.className = 'listing-fold';
    const update = () => {
      const open = !code.classList.contains('hide-boring');
      fold.setAttribute('aria-expanded', String(open));
      fold.textContent = open
        ? 'Show only the part that matters here'
        : `Show the whole file (${count} more ${count === 1 ? 'line' : 'lines'})`;
    };
    fold.addEventListener('click', () => {
      eye.click();
      update();
    });
    update();
    code.parentElement.after(fold);
    return true;
  }

  // --- Printing -----------------------------------------------------------------------------------

  // Paper cannot be unfolded: what is closed opens for it, and closes again.
  const opened = [];
  window.addEventListener('beforeprint', () => {
    for (const details of document.querySelectorAll('figure.listing details:not([open])')) {
      details.open = true;
      opened.push(details);
    }
  });
  window.addEventListener('afterprint', () => {
    for (const details of opened.splice(0)) details.open = false;
  });

  figures.forEach((figure, number) => {
    makeTabs(figure, number);
    const panels = Array.from(figure.querySelectorAll(':scope > .listing-panel'));
    if (panels.map(makeFold).some(Boolean)) figure.classList.add('can-fold');
  });

  const asked = new URL(location.href).searchParams.get(PARAMETER);
  showEverywhere(asked ?? remembered() ?? '');
  if (asked !== null && asked !== remembered()) remember(asked);

  // A choice in another window, or made before the reader came back to this page.
  window.addEventListener('storage', (event) => {
    if (event.key === KEY && event.newValue !== null) showEverywhere(event.newValue);
  });
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) showEverywhere(remembered() ?? '');
  });
})();
