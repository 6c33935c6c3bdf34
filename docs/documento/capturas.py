#!/usr/bin/env python3
"""Takes the pictures of the document from a running `historia dev` with its sample data.

    docs/documento/capturas.py .historia/ready.json       needs chromium, chromedriver and Pillow (pip)

Each page of each role at the desk (1440 x 900) and on a phone (360 x 740), in Spanish, light, as far as the document shows
it; palette PNG in capturas/. Nothing is saved on the way. Before it, so that there are messages and arrivals:
`examples/hl7v2/enviar.py --hoy examples/hl7v2/1*.hl7 examples/hl7v2/2*.hl7`. The pages of the clinical history are by hand: the
export of the same patient, `pdftoppm -r 110`.
"""
import base64, io, json, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path
from PIL import Image

TO = Path(__file__).parent / "capturas"
USED = (Path(__file__).parent / "08-capturas.typ").read_text()
READY = json.load(open(sys.argv[1]))
BASE = READY["http"]
LOGINS = {one["rol"]: one for one in READY["logins"]}
ARGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars --lang=es-CO"


class Browser:
    def __init__(self):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.driver = subprocess.Popen(["chromedriver", f"--port={self.port}"], stdout=subprocess.DEVNULL)
        time.sleep(1.5)
        options = {"args": ARGS.split() + [f"--user-data-dir={tempfile.mkdtemp()}"], "prefs": {"intl.accept_languages": "es-CO,es"}}
        self.at = "/session/" + self.ask("/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})["sessionId"]

    def ask(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=60))["value"]

    def go(self, path):
        self.ask(self.at + "/url", {"url": BASE + path})
        time.sleep(0.3)

    def js(self, script, *args):
        return self.ask(self.at + "/execute/sync", {"script": script, "args": list(args)})

    def cdp(self, command, parameters):
        return self.ask(self.at + "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height, mobile):
        self.cdp("Emulation.setDeviceMetricsOverride",
                 {"width": width, "height": height, "deviceScaleFactor": 1.75 if mobile else 1.25, "mobile": mobile})

    def fill(self, **values):
        for name, value in values.items():
            self.js("const e = document.getElementsByName(arguments[0])[0]; e.value = arguments[1];"
                    "e.dispatchEvent(new Event('input', {bubbles: true}))", name, value)

    def press(self):
        self.js("document.querySelector('main form button[type=submit]').click()")
        time.sleep(1)

    def link(self, part, text=""):
        return self.js("return [...document.querySelectorAll('main a')].filter(a => a.textContent.includes(arguments[1]))"
                       ".map(a => a.getAttribute('href')).find(h => h && h.includes(arguments[0])) || ''", part, text)

    def shot(self, name):
        png = base64.b64decode(self.cdp("Page.captureScreenshot", {"format": "png"})["data"])
        image = Image.open(io.BytesIO(png)).convert("RGB").quantize(96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        image.save(TO / f"{name}.png", optimize=True)
        print(name, (TO / f"{name}.png").stat().st_size)

    def end(self):
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}{self.at}", method="DELETE"))
        self.driver.terminate()


PATIENT = "/paciente/CC-51999208"


def signs(browser):
    browser.go(PATIENT + "/signos")
    browser.fill(temperatura="368")
    browser.press()


def result(browser):
    browser.go("/mi-historia/resultados")
    browser.go(browser.link("/mi-historia/resultados/"))


def validation(browser):
    browser.go("/resultados")
    browser.go(browser.link("/resultados/", "Validar"))


# name, then an address or what leads there.
TOUR = {
    "": [("ingreso", "/login")],
    "admisionista": [("admision-llegadas", "/admision/llegadas"), ("admision-buscar", "/admision?q=munoz"), ("admision-registrar", "/admision/registrar")],
    "medico": [("medico-buscar", "/medico?q=munoz"), ("medico-historia", PATIENT), ("medico-signos", signs)],
    "resultados": [("resultados-lista", "/resultados"), ("resultados-validar", validation)],
    "paciente": [("paciente-historia", "/mi-historia"), ("paciente-resultado", result), ("paciente-accesos", "/mi-historia/accesos")],
    "admin": [("admin-cuentas", "/admin"), ("admin-mensajes", "/admin/mensajes"), ("admin-auditoria", "/admin/auditoria")],
}

for role, pages in TOUR.items():
    browser = Browser()
    try:
        if role:
            browser.go("/login")
            browser.fill(usuario=LOGINS[role]["usuario"], clave=LOGINS[role]["clave"])
            browser.press()
        for name, width, height in (("escritorio", 1440, 900), ("celular", 360, 740)):
            browser.size(width, height, name == "celular")
            for page, where in pages:
                if f'"{page}-{name}"' in USED:
                    where(browser) if callable(where) else browser.go(where)
                    browser.shot(f"{page}-{name}")
    finally:
        browser.end()
