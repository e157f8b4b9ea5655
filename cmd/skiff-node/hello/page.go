package hello

const pageTemplate = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hello {{version}}</title>
<style>
  :root { color-scheme: light dark; --accent: {{color}}; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center;
         font: 16px/1.5 system-ui, sans-serif; background: var(--accent); }
  main { background: Canvas; color: CanvasText; border-radius: 14px; padding: 2.2rem 2.8rem;
         box-shadow: 0 12px 40px rgb(0 0 0 / .25); min-width: 17rem; }
  h1 { margin: 0 0 1rem; font-size: 1.9rem; letter-spacing: -.02em; }
  h1 span { color: var(--accent); }
  dl { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1.2rem; margin: 0; }
  dt { opacity: .6; } dd { margin: 0; font-family: ui-monospace, monospace; }
</style>
</head>
<body>
<main>
<h1>Hello from skiff <span>{{version}}</span></h1>
<dl>{{rows}}</dl>
</main>
</body>
</html>
`
