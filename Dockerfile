# The image of tagwarden: one static binary, the certificates it needs, two
# empty folders it may write to. `make image` lays all of it out in bin/image
# and builds; there is no base image, no shell and no package in it.
FROM scratch

# /tagwarden, and /etc/ssl/certs/ca-certificates.crt: without the public
# certificate authorities no registry on the internet could be verified. They
# are those of the machine that builds the image.
COPY bin/image/root/ /

# What the gateway has verified, and what it has cached. A named volume mounted
# here takes over the owner, so that the gateway can write without being root.
COPY --chown=65532:65532 bin/image/empty/ /var/lib/tagwarden/
COPY --chown=65532:65532 bin/image/empty/ /var/cache/tagwarden/

# A number, so that Kubernetes can prove runAsNonRoot; no user of this number
# needs to exist.
USER 65532:65532

# 5000 is the registry API. The admin port, 5001, listens on loopback unless the
# configuration says otherwise.
EXPOSE 5000 5001

ENTRYPOINT ["/tagwarden"]
CMD ["serve", "--config", "/etc/tagwarden/tagwarden.yaml"]
