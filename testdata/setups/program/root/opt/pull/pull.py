import subprocess

for name in ("alma", "debian"):
    subprocess.run(["rsync", "-a", "--delete", "rsync://mirror.example.net/" + name + "/", "/srv/pub/" + name], check=True)
